import { type DestinationStream, type Logger, pino } from 'pino'

/** Where a library may log headers: @fastify/multipart does, at trace level. Wildcards would be paid for by every line. */
const headersIn = ['', 'headers.', 'req.headers.', 'request.headers.', 'options.headers.', 'busboyOptions.headers.']
const secretHeaders = ['authorization', 'cookie', '["x-api-key"]', '["x-goog-api-key"]']
const secretPaths = headersIn.flatMap((above) => secretHeaders.map((name) => `${above}${name}`.replace('.[', '[')))

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
