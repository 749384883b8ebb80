import { remedyFor, type UnavailableCause } from '@knowalledge/redis-kit'
import type { Logger } from 'pino'
import type { ReadyCheck } from './readiness.ts'

/** For `/ready` of a process without Redis. */
export const redisDisabled: ReadyCheck = { required: false, check: async () => ({ status: 'disabled', ok: true }) }

/** For `/ready`: what the quota last saw of Redis, which is whether it takes writes, not only whether it answers. */
export function quotaChecks(
  quota: { health(): QuotaHealth; usage(): Promise<unknown> },
  { isObserver }: { isObserver: boolean },
): { redis: ReadyCheck; quota: ReadyCheck } {
  let reading: Promise<unknown> | undefined
  const health = async () => {
    // An observer has no heartbeats, and a member that has just started no answer yet. Both checks share one reading.
    if (isObserver || quota.health().state === 'joining') {
      reading ??= quota.usage().finally(() => {
        reading = undefined
      })
      await reading
    }
    return quota.health()
  }
  return {
    redis: {
      required: false,
      async check() {
        const seen = await health()
        if (seen.state !== 'unavailable') return { status: 'healthy', ok: true }
        return { status: seen.cause, ok: false, remedy: remedyFor(seen.cause) }
      },
    },
    quota: {
      required: false,
      async check() {
        const { state, ...details } = await health()
        const shown =
          'endsInMs' in details ? { cause: details.cause, ends_in_seconds: Math.ceil(details.endsInMs / 1000) } : {}
        const instances =
          'maxInstances' in details ? { instances: details.instances, max_instances: details.maxInstances } : {}
        return { status: state, ok: state === 'serving', ...shown, ...instances }
      },
    },
  }
}

/** quota-client's QuotaHealth. */
type QuotaHealth =
  | { state: 'joining' | 'serving' }
  | { state: 'hold'; cause: string; endsInMs: number }
  | { state: 'unavailable'; cause: UnavailableCause }
  | { state: 'too_many_instances'; instances: number; maxInstances: number }

/** Logs each hold of the quota. */
export function logHolds(log: Logger) {
  return ({ cause, endsInMs }: { cause: string; endsInMs: number }): void =>
    log.warn({ cause, ends_in_seconds: Math.ceil(endsInMs / 1000) }, 'quota on hold: no new answers until it ends')
}
