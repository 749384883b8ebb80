import type { RedisOptions } from 'ioredis'
import type {
  LimitType,
  OutageBudget,
  Priority,
  QuotaClientOptions,
  QuotaLimits,
  ReserveRequest,
  Tenant,
} from '../types.ts'

export const limitTypes: readonly LimitType[] = ['rpm', 'rpd', 'tpm', 'tpd']

/** What a tenant's limits leave open is not limited. */
const unlimited = Number.MAX_SAFE_INTEGER

/** The largest number of requests or tokens that is taken seriously: sums of it stay exact in a double. */
const largestAmount = 1e12

/** The limits as a call of this priority sees them: batch calls may fill only the safety margin's share. */
export function ceilingsFor(priority: Priority, limits: Partial<QuotaLimits>, safetyMargin: number): QuotaLimits {
  const share = priority === 'batch' ? safetyMargin : 1
  return mapLimits(limits, (limit) => (limit < unlimited ? Math.floor(limit * share) : limit))
}

/** The limit that no wait will ever make large enough for these amounts, if there is one. */
export function tooLargeFor(ceilings: QuotaLimits, requests: number, tokens: number): LimitType | undefined {
  if (requests > ceilings.rpm) return 'rpm'
  if (requests > ceilings.rpd) return 'rpd'
  if (tokens > ceilings.tpm) return 'tpm'
  return tokens > ceilings.tpd ? 'tpd' : undefined
}

/**
 * Divides limits into what is shared through Redis and what each instance may use while Redis cannot be used. The parts are
 * disjoint, shared + maxInstances × own ≤ limit, so nothing is reconciled after an outage.
 */
export function divideLimits(limits: Partial<QuotaLimits>, poolRpm: number, outage: OutageBudget | undefined) {
  const { rpm, maxInstances } = outage ?? { rpm: 0, maxInstances: 0 }
  const part = (limit: number) => Math.floor((limit * rpm) / poolRpm)
  const own = mapLimits(limits, (limit) => (limit < unlimited ? part(limit) : limit))
  const shared = mapLimits(limits, (limit) => (limit < unlimited ? limit - maxInstances * part(limit) : limit))
  return { shared, own }
}

/** As the script reads them. */
export function limitsText(limits: Partial<QuotaLimits>): string {
  return Object.values(mapLimits(limits, (limit) => limit)).join()
}

/** Throws a RangeError that names the field and its bounds, unless `value` is a whole number within them. */
export function requireWhole(name: string, value: number, smallest: number, largest = largestAmount): void {
  if (Number.isInteger(value) && value >= smallest && value <= largest) return
  throw new RangeError(`${name} must be a whole number from ${smallest} to ${largest}, not ${value}`)
}

/** Throws a RangeError for the first field of a request that is out of bounds. */
export function requireValidRequest(request: ReserveRequest): void {
  requireWhole('requests', request.requests, 1)
  requireWhole('tokens', request.tokens, 0)
  if (request.priority !== 'interactive' && request.priority !== 'batch')
    throw new RangeError(`priority must be interactive or batch, not ${request.priority}`)
  if (request.tenant !== undefined) requireValidTenant(request.tenant)
  if (request.maxWaitMs !== undefined) requireWhole('maxWaitMs', request.maxWaitMs, 0)
  if (request.client !== undefined && request.client.length > 128)
    throw new RangeError(`client must have at most 128 characters, not ${request.client.length}`)
}

/** Throws a RangeError for the first option that is out of bounds. */
export function requireValidOptions(options: QuotaClientOptions): void {
  const { pool, limits, safetyMargin, windowMs, transitMs, maxQueueLength, outage, redis } = options
  if (!/^[\w.:-]{1,64}$/.test(pool))
    throw new RangeError(`pool must be 1 to 64 letters, digits, dots, colons, dashes or underscores, not ${pool}`)
  for (const name of limitTypes) requireWhole(`limits.${name}`, limits[name], 1)
  if (safetyMargin !== undefined && !(safetyMargin > 0 && safetyMargin <= 1))
    throw new RangeError(`safetyMargin must be above 0 and at most 1, not ${safetyMargin}`)
  if (windowMs !== undefined) requireWhole('windowMs', windowMs, 240, 86_400_000)
  if (transitMs !== undefined) requireWhole('transitMs', transitMs, 1, 60_000)
  if (maxQueueLength !== undefined) requireWhole('maxQueueLength', maxQueueLength, 0)
  if (outage !== undefined) {
    requireWhole('outage.maxInstances', outage.maxInstances, 1, limits.rpm)
    requireWhole('outage.rpm', outage.rpm, 1, Math.ceil(limits.rpm / outage.maxInstances) - 1)
  }
  const given = redis?.options
  const connection = given && 'redisOptions' in given ? given.redisOptions : given
  if (connection && (connection as RedisOptions).autoResendUnfulfilledCommands !== false)
    throw new RangeError('redis must not resend commands: make it with redisOptions() or clusterOptions() of redis-kit')
}

function requireValidTenant(tenant: Tenant): void {
  if (tenant.id.length < 1 || tenant.id.length > 256)
    throw new RangeError(`tenant.id must have 1 to 256 characters, not ${tenant.id.length}`)
  for (const name of limitTypes) {
    const limit = tenant.limits[name]
    if (limit !== undefined) requireWhole(`tenant.limits.${name}`, limit, 0)
  }
}

function mapLimits(limits: Partial<QuotaLimits>, change: (limit: number) => number): QuotaLimits {
  const { rpm = unlimited, rpd = unlimited, tpm = unlimited, tpd = unlimited } = limits
  return { rpm: change(rpm), rpd: change(rpd), tpm: change(tpm), tpd: change(tpd) }
}
