/** The part of a pino logger that is used here. */
export interface Log {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

/** A client over Redis enters degraded mode, or leaves it. */
export interface RedisFault {
  state: 'degraded' | 'recovered'
  /** The error that showed it. */
  cause?: unknown
  reason?: UnavailableCause
}

/** Why Redis cannot be used: no answer, memory full, a replica, too few replicas, a failing disk, any other error. */
export type UnavailableCause = 'unreachable' | 'full' | 'read_only' | 'no_replicas' | 'not_persisted' | 'error'

/** What an error of Redis says about its health. */
export function causeOf(error: unknown): UnavailableCause {
  const message = error instanceof Error ? error.message : ''
  if (/^OOM/.test(message)) return 'full'
  if (/^READONLY/.test(message)) return 'read_only'
  if (/^NOREPLICAS/.test(message)) return 'no_replicas'
  if (/^MISCONF/.test(message)) return 'not_persisted'
  return /^[A-Z]{3,} /.test(message) ? 'error' : 'unreachable'
}

/** True when Redis answers, but takes no writes. */
export function isRefusedWrite(error: unknown): boolean {
  return !['unreachable', 'error'].includes(causeOf(error))
}

const remedies: Record<UnavailableCause, string> = {
  unreachable: 'Start Redis, or set REDIS_ENABLED=false to run a single process without it.',
  full: 'Redis has reached its maxmemory: make room, or raise it.',
  read_only: 'Redis is a read-only replica: point REDIS_* at the primary, or finish the failover.',
  no_replicas: 'Redis takes no writes without its replicas (min-replicas-to-write): start a replica.',
  not_persisted: 'Redis takes no writes because it cannot save to its disk: make room there.',
  error: 'Redis answers with an error: see the log of this process and of Redis.',
}

/** What an operator can do. */
export function remedyFor(cause: UnavailableCause): string {
  return remedies[cause]
}

/** Logs the faults of all clients over Redis in this process; the circuit is `open` while any of them is degraded. */
export function redisFaults(log: Log) {
  const degraded = new Map<string, UnavailableCause>()
  return {
    /** The `onFault` of one client. */
    of(part: string) {
      return ({ state, cause, reason }: RedisFault): void => {
        if (state === 'recovered') {
          degraded.delete(part)
          log.info({ part }, 'redis available again, leaving degraded mode')
        } else {
          degraded.set(part, reason ?? causeOf(cause))
          const remedy = reason && remedyFor(reason)
          log.warn({ part, reason, remedy, err: cause }, 'redis unavailable, entering degraded mode')
        }
      }
    },
    /** Why a client is degraded; undefined while it is not. */
    causeOf: (part: string): UnavailableCause | undefined => degraded.get(part),
    circuit: (): 'open' | 'closed' => (degraded.size > 0 ? 'open' : 'closed'),
  }
}
