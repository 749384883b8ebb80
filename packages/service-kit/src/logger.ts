import { type DestinationStream, type Logger, pino } from 'pino'

/** @fastify/multipart, for one, writes all headers at trace level. */
const secretHeaders = ['authorization', 'cookie', 'x-api-key', 'x-goog-api-key']
const secretPaths = secretHeaders.flatMap((name) =>
  ['', '*.', '*.*.'].map((above) => `${above}["${name}"]`.replace('.[', '[')),
)

export interface LoggerOptions {
  level: string
  /** Coloured lines for a person. Default: when stdout is a terminal. */
  pretty?: boolean
  /** For JSON lines. Default stdout. */
  destination?: DestinationStream
}

/** JSON lines, or coloured lines where a person watches. Everything that could hold a secret is left out at the source. */
export function createLogger({ level, pretty = process.stdout.isTTY, destination }: LoggerOptions): Logger {
  const options = { level, redact: { paths: secretPaths, censor: '[hidden]' } }
  return pretty ? pino({ ...options, transport: forPeople }) : pino(options, destination ?? pino.destination(1))
}

const forPeople = {
  target: 'pino-pretty',
  options: { ignore: 'pid,hostname,service,request_id', messageFormat: '{service} {msg}', singleLine: true },
}

export type { Logger }
