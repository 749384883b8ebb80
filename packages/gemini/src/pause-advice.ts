import { record } from './answer.ts'
import type { PauseAdvice } from './types.ts'

/** Google's error body: `{"error":{"code","message","status","details"}}`. */
export interface GoogleFault {
  message: string
  status: string
  details: Record<string, unknown>[]
}

type LimitType = PauseAdvice['limitType']

interface Violation {
  limitType: LimitType
  isPerDay: boolean
  isZero: boolean
}

const SPENT_FOR_GOOD = /prepayment credits are depleted|spending cap/i
const ZERO_LIMIT_LINE = /metric: (\S+?),[^\n]*\blimit: 0(?![.\d])/g
/** RetryInfo truncates ("58.93 s" arrives as "58s"), so a second is added. */
const TRUNCATION_MS = 1000

/** What a 429 asks of the fleet. The quotaId counts before RetryInfo: a spent day often comes with a tiny delay. */
export function readPauseAdvice(fault: GoogleFault): PauseAdvice {
  const violations = readViolations(fault)
  const worst = violations.toSorted((a, b) => severity(b) - severity(a))[0]
  const limitType = worst?.limitType ?? 'upstream'
  const terminal = worst?.isZero === true || SPENT_FOR_GOOD.test(fault.message) || isZeroEverywhere(fault, violations)
  const untilDayEnds = !terminal && worst?.isPerDay === true
  const delayMs = terminal || untilDayEnds ? undefined : readDelayMs(fault)
  return { limitType, untilDayEnds, terminal, ...(delayMs !== undefined && { delayMs }) }
}

function readViolations({ message, details }: GoogleFault): Violation[] {
  const zeroMetrics = new Set([...message.matchAll(ZERO_LIMIT_LINE)].map(([, metric]) => metric))
  return details
    .filter((detail) => String(detail['@type']).endsWith('QuotaFailure'))
    .flatMap(({ violations }) => (Array.isArray(violations) ? violations.map(record) : []))
    .map(({ quotaId, quotaMetric, quotaValue }) => {
      const isZero = quotaValue === '0' || (quotaValue === undefined && zeroMetrics.has(String(quotaMetric)))
      return { ...classify(String(quotaId)), isZero }
    })
}

/** `limit: 0` in a message whose details are missing. */
function isZeroEverywhere({ message }: GoogleFault, violations: Violation[]): boolean {
  return violations.length === 0 && message.search(ZERO_LIMIT_LINE) >= 0
}

/** From names such as GenerateRequestsPerDayPerProjectPerModel-FreeTier. */
function classify(quotaId: string): { limitType: LimitType; isPerDay: boolean } {
  const isPerDay = quotaId.includes('PerDay')
  const isPerMinute = quotaId.includes('PerMinute')
  if (!isPerDay && !isPerMinute) return { limitType: 'upstream', isPerDay }
  if (quotaId.includes('Token')) return { limitType: isPerDay ? 'tpd' : 'tpm', isPerDay }
  return { limitType: isPerDay ? 'rpd' : 'rpm', isPerDay }
}

function severity({ isZero, isPerDay, limitType }: Violation): number {
  return (isZero ? 4 : 0) + (isPerDay ? 2 : 0) + (limitType === 'upstream' ? 0 : 1)
}

/** From RetryInfo, else from "Please retry in 34.2s." */
function readDelayMs({ message, details }: GoogleFault): number | undefined {
  const retryInfo = details.find((detail) => String(detail['@type']).endsWith('RetryInfo'))
  const text =
    typeof retryInfo?.retryDelay === 'string' ? retryInfo.retryDelay : /retry in ([\d.hms]+)/.exec(message)?.[1]
  const durationMs = text === undefined ? undefined : readDurationMs(text)
  return durationMs === undefined ? undefined : durationMs + TRUNCATION_MS
}

const UNIT_MS: Record<string, number> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 }

/** `34s`, `34.219169168s`, `850.5ms`, `1h2m3s`; undefined for anything else. Rounded up to whole milliseconds. */
function readDurationMs(text: string): number | undefined {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|h|m|s)/g)]
  if (parts.length === 0) return undefined
  return Math.ceil(parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * (UNIT_MS[unit ?? ''] ?? 0), 0))
}
