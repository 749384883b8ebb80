import type { QuotaClientOptions, ReserveRequest, Tenant } from './types.ts'

/** The largest number of requests or tokens that is taken for meant: sums of it stay exact in a double. */
const largestAmount = 1e12

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
}

/** Throws a RangeError for the first option that is out of bounds. */
export function requireValidOptions(options: QuotaClientOptions): void {
  if (!/^[\w.:-]{1,64}$/.test(options.pool))
    throw new RangeError(
      `pool must be 1 to 64 letters, digits, dots, colons, dashes or underscores, not ${options.pool}`,
    )
  for (const name of ['rpm', 'rpd', 'tpm', 'tpd'] as const) requireWhole(`limits.${name}`, options.limits[name], 1)
  const { safetyMargin, windowMs } = options
  if (safetyMargin !== undefined && !(safetyMargin > 0 && safetyMargin <= 1))
    throw new RangeError(`safetyMargin must be above 0 and at most 1, not ${safetyMargin}`)
  if (windowMs !== undefined) requireWhole('windowMs', windowMs, 240, 86_400_000)
  if (options.answerWithinMs !== undefined) requireWhole('answerWithinMs', options.answerWithinMs, 1, 60_000)
  if (options.assumedInstances !== undefined) requireWhole('assumedInstances', options.assumedInstances, 1, 1_000_000)
}

function requireValidTenant(tenant: Tenant): void {
  if (tenant.id.length < 1 || tenant.id.length > 256)
    throw new RangeError(`tenant.id must have 1 to 256 characters, not ${tenant.id.length}`)
  for (const name of ['rpm', 'rpd', 'tpm', 'tpd'] as const) {
    const limit = tenant.limits[name]
    if (limit !== undefined) requireWhole(`tenant.limits.${name}`, limit, 0)
  }
}
