import type { LimitType, QuotaLimits } from '../src/types.ts'
import type { CountedCall, Oracle } from './oracle.ts'
import type { Checked, Failure } from './outcome.ts'
import { lengths, type Schedule } from './schedule.ts'
import { checkWaiting } from './waiting-checks.ts'

interface Account {
  name: string
  calls: CountedCall[]
  limitsOf: (call: CountedCall) => QuotaLimits
  dayFromMs: (call: CountedCall) => number
}

const answerMs = 5000

/** Judges a simulation that has ended, of which the last fault ended at `lastFaultMs`. */
export function check(schedule: Schedule, oracle: Oracle, lastFaultMs: number): Checked {
  const calls = oracle.calls.filter((call) => !call.isReleased).sort((one, other) => one.order - other.order)
  const failures: Failure[] = []
  let worst = 0
  for (const account of accountsOf(calls, oracle)) worst = Math.max(worst, checkLimits(account, failures))
  const { promises, configuration, untilMs } = schedule
  if (promises.overrunsCharged) checkOverruns(schedule, calls, failures)
  for (const { cause, atMs, isCaused } of oracle.holds)
    if (!isCaused || promises.noHold) failures.push({ kind: 'hold without a cause', atMs, text: `held for ${cause}` })
  const [lateMs] = oracle.carriedOutLateMs
  if (lateMs !== undefined)
    failures.push({ kind: 'carried out too late', atMs: lateMs, text: 'Redis decided a call that was given up' })
  for (const { member, atMs } of oracle.unanswered.values())
    if (member.isAlive && member.process.isRunning && untilMs - Math.max(atMs, member.troubledMs) > answerMs)
      failures.push({ kind: 'no answer', atMs, text: `reserve() of ${member.name} was never answered` })
  checkWaiting(schedule, { calls: oracle.lineCalls, lastFaultMs }, failures)
  if (promises.recoversInMs > 0) checkRecovery(schedule, { grantedMs: oracle.grantedMs, lastFaultMs }, failures)
  const { windowMs, limits } = configuration
  const used = usedShare(calls, limits.rpm, { fromMs: 0, untilMs, windowMs })
  if (promises.used > 0) {
    const steady = usedShare(calls, limits.rpm, { fromMs: windowMs, untilMs, windowMs })
    const text = `only ${(100 * steady).toFixed(1)} % of the requests per minute were used`
    if (steady < promises.used) failures.push({ kind: 'under-used', atMs: untilMs, text })
  }
  failures.sort((one, other) => one.atMs - other.atMs)
  return { failures, worst, used, holds: oracle.holds.length, longestGapMs: longestGap(oracle.grantedMs, untilMs) }
}

function accountsOf(calls: CountedCall[], oracle: Oracle): Account[] {
  const tenants = [...new Set(calls.map(({ tenant }) => tenant))].filter((tenant) => tenant !== '')
  const pool = { name: 'the pool', calls, limitsOf: (call: CountedCall) => call.limits }
  return [
    { ...pool, dayFromMs: (call) => call.dayFromMs.pool },
    ...tenants.map((tenant) => ({
      name: `tenant ${tenant}`,
      calls: calls.filter((call) => call.tenant === tenant),
      limitsOf: () => oracle.tenantLimits(tenant),
      dayFromMs: (call: CountedCall) => call.dayFromMs.tenant,
    })),
  ]
}

/**
 * At each call: what the provider may have counted in the window, or the day, that ends with it. It counts this call as early
 * as it may and all earlier ones as late as they may, so no interval of a window's length holds more than the worst of these.
 */
function checkLimits({ name, calls, limitsOf, dayFromMs }: Account, failures: Failure[]): number {
  let worst = 0
  const failed = new Set<LimitType>()
  for (const [at, call] of calls.entries()) {
    const sums: QuotaLimits = { rpm: 0, rpd: 0, tpm: 0, tpd: 0 }
    for (let before = at; before >= 0; before--) {
      const other = calls[before]
      if (other === undefined) break
      if (other.latestMs > call.earliestMs - call.windowMs) {
        sums.rpm += other.requests
        sums.tpm += strictTokens(other)
      }
      if (other.date !== call.date || other.earliestMs < dayFromMs(call)) continue
      sums.rpd += other.requests
      sums.tpd += strictTokens(other)
    }
    const limits = limitsOf(call)
    for (const type of ['rpm', 'rpd', 'tpm', 'tpd'] as const) {
      worst = Math.max(worst, sums[type] / limits[type])
      if (sums[type] <= limits[type] || failed.has(type)) continue
      failed.add(type)
      const text = `${sums[type]} of ${limits[type]} ${type} of ${name}`
      failures.push({ kind: 'over the limit', atMs: call.earliestMs, text })
    }
  }
  return worst
}

/** What the strict bound counts: an overrun of an estimate is no fault of the quota's. */
function strictTokens({ estimate, actual = estimate }: CountedCall): number {
  return Math.min(estimate, actual)
}

/** An overrun is charged within two heartbeats; what is granted later must leave room for it. */
function checkOverruns(schedule: Schedule, calls: CountedCall[], failures: Failure[]): void {
  const { heartbeatMs } = lengths(schedule.configuration)
  for (const [at, call] of calls.entries()) {
    const settledBy = call.earliestMs - 2 * heartbeatMs
    const charged = calls
      .slice(0, at + 1)
      .filter(({ latestMs }) => latestMs > call.earliestMs - call.windowMs)
      .map((other) => (other.settledMs < settledBy ? (other.actual ?? 0) : strictTokens(other)))
    const sum = charged.reduce((total, tokens) => total + tokens, 0)
    if (call.estimate === 0 || sum <= call.limits.tpm) continue
    const text = `${sum} of ${call.limits.tpm} tpm, overruns among them, when another call was granted`
    failures.push({ kind: 'overrun not charged', atMs: call.earliestMs, text })
    return
  }
}

function checkRecovery(
  { promises, untilMs }: Schedule,
  { grantedMs, lastFaultMs }: { grantedMs: number[]; lastFaultMs: number },
  failures: Failure[],
): void {
  const deadlineMs = lastFaultMs + promises.recoversInMs
  const first = grantedMs.find((ms) => ms >= lastFaultMs)
  if (first !== undefined && first <= deadlineMs) return
  if (first === undefined && untilMs < deadlineMs) return
  const when = first === undefined ? 'nothing' : `nothing for ${((first - lastFaultMs) / 1000).toFixed(1)} s`
  failures.push({ kind: 'no recovery', atMs: deadlineMs, text: `${when} was granted after the last fault` })
}

function usedShare(
  calls: CountedCall[],
  rpm: number,
  { fromMs, untilMs, windowMs }: { fromMs: number; untilMs: number; windowMs: number },
): number {
  const used = calls.filter(({ earliestMs }) => earliestMs >= fromMs).reduce((sum, { requests }) => sum + requests, 0)
  return used / ((rpm * (untilMs - fromMs)) / windowMs)
}

function longestGap(grantedMs: number[], untilMs: number): number {
  let [longest, last] = [0, 0]
  for (const ms of [...grantedMs, untilMs]) {
    longest = Math.max(longest, ms - last)
    last = ms
  }
  return longest
}
