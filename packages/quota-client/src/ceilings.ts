import type { LimitType, Priority, QuotaLimits } from './types.ts'

export const limitTypes: readonly LimitType[] = ['rpm', 'rpd', 'tpm', 'tpd']

/** What a tenant's limits leave open is not limited. */
export const unlimited = Number.MAX_SAFE_INTEGER

/** The limits as a call of this priority sees them: batch calls may fill only the safety margin's share. */
export function ceilingsFor(priority: Priority, limits: Partial<QuotaLimits>, safetyMargin: number): QuotaLimits {
  const ceiling = (limit = unlimited) =>
    priority === 'batch' && limit < unlimited ? Math.floor(limit * safetyMargin) : limit
  return { rpm: ceiling(limits.rpm), rpd: ceiling(limits.rpd), tpm: ceiling(limits.tpm), tpd: ceiling(limits.tpd) }
}

/** The limit that no wait will ever make large enough for these amounts, if there is one. */
export function tooLargeFor(ceilings: QuotaLimits, requests: number, tokens: number): LimitType | undefined {
  if (requests > ceilings.rpm) return 'rpm'
  if (requests > ceilings.rpd) return 'rpd'
  if (tokens > ceilings.tpm) return 'tpm'
  return tokens > ceilings.tpd ? 'tpd' : undefined
}
