import { type Logger, pino } from 'pino'

/** JSON lines, or coloured lines where a person watches. Everything that could hold a secret is left out at the source. */
export function createLogger({ level, pretty = process.stdout.isTTY }: { level: string; pretty?: boolean }): Logger {
  return pino({
    level,
    redact: {
      paths: ['*.authorization', '*.cookie', '*["x-api-key"]', '*["x-goog-api-key"]', 'err.config'],
      censor: '[hidden]',
    },
    ...(pretty
      ? {
          transport: {
            target: 'pino-pretty',
            options: { ignore: 'pid,hostname,service,request_id', messageFormat: '{service} {msg}', singleLine: true },
          },
        }
      : {}),
  })
}

export type { Logger }
