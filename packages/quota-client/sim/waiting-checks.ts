import type { LineCall } from './oracle.ts'
import type { Failure } from './outcome.ts'
import { lengths, type Schedule } from './schedule.ts'

const answerMs = 5000
/** After the last fault: the calls of dead instances have left the line. */
const settledMs = 10_000
/** Closer arrivals may change places: instances know Redis's clock to a few milliseconds. */
const atOnceMs = 50
/** Starts that a batch call may have to let pass: nineteen, and a full window when it waits for its credit. */
const startsBeforeBatch = (rpm: number) => rpm + 19

/** Judges the calls that waited: none was lost, and, without faults, each started when it was its turn. */
export function checkWaiting(
  schedule: Schedule,
  { calls, lastFaultMs }: { calls: readonly LineCall[]; lastFaultMs: number },
  failures: Failure[],
): void {
  const waited = calls.filter(({ maxWaitMs }) => maxWaitMs > 0)
  checkAnswers(schedule, waited, failures)
  if (schedule.promises.inOrder) {
    const shared = calls.filter(({ tenant }) => tenant === undefined)
    checkOrder(schedule, shared, failures)
    checkTurns(schedule, shared, failures)
    checkStarvation(schedule, shared, failures)
    checkPace(schedule, shared, failures)
  }
  if (schedule.promises.informed) {
    checkNews(schedule, waited, failures)
    const isOneLimit = Object.keys(schedule.tenants).length === 0 && schedule.configuration.limits.tpm >= 1e9
    if (isOneLimit) checkUse(schedule, { calls, fromMs: lastFaultMs + settledMs }, failures)
  }
  if (schedule.promises.toldRight) checkTold(schedule, waited, failures)
}

/** Each is answered within its longest wait, and a little more for a process or a link that was at fault meanwhile. */
function checkAnswers({ untilMs }: Schedule, waited: LineCall[], failures: Failure[]): void {
  for (const { member, atMs, processMs, maxWaitMs, ended } of waited) {
    if (ended === undefined && !(member.isAlive && member.process.isRunning)) continue
    const end = ended ?? { atMs: untilMs, processMs: member.process.monotonicMs() }
    const isLate = end.processMs - processMs - maxWaitMs > answerMs && end.atMs - member.troubledMs > answerMs
    if (isLate && member.troubles === 0)
      failures.push({ kind: 'lost in line', atMs, text: `a call of ${member.name} outlived its longest wait` })
  }
}

/** A call whose turn it is keeps its room meanwhile, and starts with the next claim of its instance. */
const claimMs = ({ configuration }: Schedule) => lengths(configuration).heartbeatMs + atOnceMs
/** When it waited no more. */
const untilOf = ({ ended, grant }: LineCall) => grant?.atMs ?? ended?.atMs ?? Number.POSITIVE_INFINITY

/** No call starts before one that came earlier, of no client or of its own, and no plain call before one that waits. */
function checkOrder(schedule: Schedule, calls: LineCall[], failures: Failure[]): void {
  for (const later of calls) {
    const { grant } = later
    if (grant === undefined) continue
    const earlier = calls.find((call) => {
      if (call.maxWaitMs === 0 || call.atMs + atOnceMs > later.atMs) return false
      if (untilOf(call) <= grant.atMs + claimMs(schedule)) return false
      if (later.maxWaitMs === 0) return call.priority === 'interactive' || later.priority === 'batch'
      return call.priority === later.priority && call.client === later.client
    })
    if (earlier === undefined) continue
    const who = later.maxWaitMs === 0 ? 'a plain call' : 'a call'
    const since = `${seconds(earlier.atMs)} to ${seconds(later.atMs)}`
    failures.push({ kind: 'overtaken', atMs: grant.atMs, text: `${who} of ${later.member.name} went first (${since})` })
    return
  }
}

/** While a call waits another client may start one later call in each round up to its own, and one more as a round begins. */
function checkTurns(schedule: Schedule, calls: LineCall[], failures: Failure[]): void {
  const interactive = calls.filter(
    ({ priority, client, maxWaitMs }) => priority === 'interactive' && client && maxWaitMs,
  )
  for (const call of interactive) {
    if (call.grant === undefined) continue
    const own = interactive.filter(({ client, atMs }) => client === call.client && atMs <= call.atMs + atOnceMs)
    const rounds = own.filter((other) => other.grant === undefined || untilOf(other) > call.atMs - atOnceMs).length
    const starts = new Map<string, number>()
    for (const { client, atMs, grant } of interactive)
      if (
        client !== call.client &&
        grant &&
        atMs > call.atMs + atOnceMs &&
        grant.atMs + claimMs(schedule) < call.grant.atMs
      )
        starts.set(client, (starts.get(client) ?? 0) + 1)
    const most = Math.max(0, ...starts.values())
    if (most <= rounds + 2) continue
    const text = `a call of ${call.client} let ${most} later ones of one client pass, in round ${rounds}`
    failures.push({ kind: 'overtaken', atMs: call.grant.atMs, text })
    return
  }
}

/** While a batch call waits, only so many interactive calls start from the line before one of its line. */
function checkStarvation({ configuration }: Schedule, calls: LineCall[], failures: Failure[]): void {
  const inLine = calls.filter(({ maxWaitMs }) => maxWaitMs > 0)
  const starts = inLine.filter(({ grant }) => grant).sort((one, other) => orderOf(one) - orderOf(other))
  let passed = 0
  for (const { priority, grant } of starts) {
    const isAwaited = inLine.some(
      (call) =>
        call.priority === 'batch' && call.atMs + atOnceMs <= (grant?.atMs ?? 0) && untilOf(call) > (grant?.atMs ?? 0),
    )
    passed = priority === 'batch' || !isAwaited ? 0 : passed + 1
    if (passed <= startsBeforeBatch(configuration.limits.rpm)) continue
    const text = `${passed} interactive calls started while batch calls waited`
    failures.push({ kind: 'overtaken', atMs: grant?.atMs ?? 0, text })
    return
  }
}

/** Batch calls start from the line as their credit allows: it holds one call, and grows with the limit. */
function checkPace({ configuration }: Schedule, calls: LineCall[], failures: Failure[]): void {
  const { ringMs, bucketMs } = lengths(configuration)
  const perMs = configuration.limits.rpm / (ringMs + bucketMs)
  const starts = calls
    .filter(({ priority, grant, told }) => priority === 'batch' && grant && told.length > 0)
    .map(({ grant }) => grant?.atMs ?? 0)
    .sort((one, other) => one - other)
  let credit = 1
  for (const [at, ms] of starts.entries()) {
    credit = Math.min(Math.max(1, configuration.limits.rpm / 60), credit + (ms - (starts[at - 1] ?? ms)) * perMs) - 1
    if (credit > -0.1) continue
    failures.push({
      kind: 'overtaken',
      atMs: ms,
      text: 'a batch call started without credit, where others find no room',
    })
    return
  }
}

/** A call in line hears of a later start before the one that it was told has passed. */
function checkNews({ untilMs }: Schedule, waited: LineCall[], failures: Failure[]): void {
  for (const { member, told, tenant, ended } of waited) {
    const { startsMs } = told.at(-1) ?? {}
    if (startsMs === undefined || tenant !== undefined || (ended === undefined && !member.isAlive)) continue
    if ((ended?.atMs ?? untilMs) <= startsMs + answerMs) continue
    failures.push({
      kind: 'lost in line',
      atMs: startsMs,
      text: `a call of ${member.name} was to start, and heard nothing`,
    })
    return
  }
}

/** In each stretch of a ring's turn and a heartbeat in which interactive calls wait throughout, 98 % of the limit starts. */
function checkUse(
  { configuration }: Schedule,
  { calls, fromMs: sinceMs }: { calls: readonly LineCall[]; fromMs: number },
  failures: Failure[],
): void {
  const { ringMs, bucketMs, heartbeatMs } = lengths(configuration)
  const stretchMs = ringMs + bucketMs + heartbeatMs
  const least = Math.floor(0.98 * configuration.limits.rpm)
  const starts = calls.flatMap(({ grant, requests }) =>
    Array<number>(requests).fill(grant?.atMs ?? Number.POSITIVE_INFINITY),
  )
  const backlog = mergeWaits(
    calls.filter(
      ({ priority, tenant, maxWaitMs }) => priority === 'interactive' && tenant === undefined && maxWaitMs > 0,
    ),
  )
  for (const { fromMs, untilMs } of backlog)
    for (const toMs of [untilMs, ...starts.filter((ms) => ms < untilMs)]) {
      if (toMs - stretchMs < Math.max(sinceMs, fromMs + atOnceMs)) continue
      const used = starts.filter((ms) => ms >= toMs - stretchMs && ms < toMs).length
      if (used >= least) continue
      const text = `${used} of ${configuration.limits.rpm} requests were used while calls waited`
      failures.push({ kind: 'under-used', atMs: toMs, text })
      return
    }
}

function mergeWaits(calls: LineCall[]): { fromMs: number; untilMs: number }[] {
  const merged: { fromMs: number; untilMs: number }[] = []
  for (const call of calls.toSorted((one, other) => one.atMs - other.atMs)) {
    const { atMs } = call
    const untilMs = untilOf(call)
    const last = merged.at(-1)
    if (untilMs === Number.POSITIVE_INFINITY) continue
    if (last && atMs < last.untilMs) last.untilMs = Math.max(last.untilMs, untilMs)
    else merged.push({ fromMs: atMs, untilMs })
  }
  return merged
}

/** Each time that a call was told is right within a heartbeat, and none that had a place is refused later. */
function checkTold({ configuration }: Schedule, waited: LineCall[], failures: Failure[]): void {
  const { heartbeatMs } = lengths(configuration)
  for (const { told, grant, ended } of waited)
    for (const { atMs, startsMs } of told) {
      if (grant === undefined && ended === undefined) continue
      const byMs = grant ? grant.atMs - startsMs : Number.POSITIVE_INFINITY
      if (Math.abs(byMs) <= heartbeatMs + atOnceMs) continue
      const text = grant
        ? `a call started ${seconds(byMs)} after the start that it was told`
        : 'a call in line was refused'
      failures.push({ kind: 'told wrong', atMs, text })
      return
    }
}

function orderOf({ grant }: LineCall): number {
  return grant?.order ?? Number.POSITIVE_INFINITY
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`
}
