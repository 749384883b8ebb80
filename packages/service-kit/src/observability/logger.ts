import { type DestinationStream, type Logger as PinoLogger, type LoggerOptions as PinoOptions, pino } from 'pino'
import sonicBoom from 'sonic-boom'
import { RecentFaults } from './faults.ts'

/** Where a library may log headers: @fastify/multipart does, at trace level. Wildcards would be paid for by every line. */
const headersIn = ['', 'headers.', 'req.headers.', 'request.headers.', 'options.headers.', 'busboyOptions.headers.']
const secretHeaders = ['authorization', 'cookie', '["x-api-key"]', '["x-goog-api-key"]']
const secretPaths = headersIn.flatMap((above) => secretHeaders.map((name) => `${above}${name}`.replace('.[', '[')))

const { warn: warnLevel } = pino.levels.values as { warn: number }

/** Without `command`: ioredis hangs what was sent on its errors, for a cache write the whole answer. */
function errorSerializer(error: Error) {
  const { command: _, ...shown } = pino.stdSerializers.err(error)
  return shown
}

export interface LoggerOptions {
  level: string
  /** Coloured lines for a person. Default: when stdout is a terminal. */
  pretty?: boolean
  /** For JSON lines. Default stdout. */
  destination?: DestinationStream
}

/** With the faults that it and its children have logged; absent of a logger that `createLogger` did not make. */
export type Logger = PinoLogger & { readonly recentFaults?: RecentFaults }

/** JSON lines, or coloured lines where a person watches. Everything that could hold a secret is left out at the source. */
export function createLogger({ level, pretty = process.stdout.isTTY, destination }: LoggerOptions): Logger {
  const redact = { paths: secretPaths, censor: '[hidden]' }
  const recentFaults = new RecentFaults()
  const hooks: PinoOptions['hooks'] = {
    logMethod(line, method, level) {
      if (level >= warnLevel) recentFaults.add(this, line)
      method.apply(this, line)
    },
  }
  const options = { level, redact, serializers: { err: errorSerializer }, hooks }
  const logger = pretty ? pino({ ...options, transport: forPeople }) : pino(options, destination ?? linesToStdout())
  return Object.assign(logger, { recentFaults })
}

const bufferedBytes = 8 * 1024
const bufferedForMs = 100
/** Of lines that nobody reads: then new ones are dropped. */
const unreadBytes = 8 * 1024 * 1024
/** Times of 100 ms that the end of the process waits for a reader that is behind. */
const triesAtTheEnd = 10

/**
 * Writes when there are many lines, after a tenth of a second, with a warning and at the end of the process: a write for each
 * line costs more than making it. (By sonic-boom itself: the one that pino brings can try for ever to write to a reader that has gone.)
 */
function linesToStdout(): DestinationStream {
  let triesLeft = Number.POSITIVE_INFINITY
  const stdout = new sonicBoom.SonicBoom({
    fd: 1,
    sync: false,
    minLength: bufferedBytes,
    periodicFlush: bufferedForMs,
    maxLength: unreadBytes,
    retryEAGAIN: () => triesLeft-- > 0,
  })
  stdout.on('error', () => {}) // who reads has gone, or the disk is full: this is where it would be said
  process.once('exit', () => {
    triesLeft = triesAtTheEnd
    try {
      stdout.flushSync()
    } catch {} // the same
  })
  return {
    [Symbol.for('pino.metadata')]: true,
    lastLevel: 0,
    write(line: string) {
      stdout.write(line)
      if (this.lastLevel >= warnLevel) stdout.flush()
    },
  } as DestinationStream & { lastLevel: number }
}

const forPeople = {
  target: 'pino-pretty',
  options: { ignore: 'pid,hostname,service,request_id', messageFormat: '{service} {msg}', singleLine: true },
}
