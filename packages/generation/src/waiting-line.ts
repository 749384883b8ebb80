import type { Metrics } from '@knowalledge/metrics'
import type { Place, QuotaClient, ReserveRequest, Verdict } from '@knowalledge/quota-client'
import { sameRequestWaits } from './failures.ts'
import type { PlaceOwner } from './places-in-line.ts'
import type { TimeLimit } from './time-limit.ts'
import type { ClientRefused, RunWait } from './types.ts'

interface LineTools {
  quota: Pick<QuotaClient, 'reserve'>
  metrics: Metrics
  signal: AbortSignal
  /** True: during a pause of the pool the call does not line up, as another pool may serve it. */
  hasNextPool: boolean
  /** Notified of the call's place, and with undefined when it has none any more. */
  onPlace: (place: Place | undefined) => void
}

/**
 * Waits for a place of the request, of its client and of its address, then in line. A call whose client or address has no place
 * to spare is told when the last of those in line starts, or refused when that is too late for it. Rejects with the reason of
 * `signal`, or with the instance's closing.
 */
export async function reserveInLine(
  wait: RunWait,
  request: ReserveRequest,
  { quota, metrics, signal, hasNextPool, onPlace }: LineTools,
): Promise<Verdict | ClientRefused> {
  const { places, owners, untilMs, expired } = wait
  const leaving = AbortSignal.any([signal, wait.closing])
  leaving.throwIfAborted()
  const sinceMs = performance.now()
  const call = {}
  const taken: PlaceOwner[] = []
  const onWaiting = (place: Place) => {
    for (const owner of taken) places.note(owner, call, performance.now() + place.startsInMs)
    noteStart(wait, call, place)
    onPlace(place)
  }
  try {
    for (const owner of owners) {
      if (!places.tryTake(owner, call)) {
        const lastStartMs = places.lastStartMs(owner)
        const place = { startsInMs: Math.max(1, lastStartMs - performance.now()), position: owner.most + 1 }
        if (owner === owners[0]) onPlace(place)
        else if (lastStartMs <= untilMs) onWaiting(place)
        else return clientRefused(owner, place)
        if (!(await hasTaken(places.take(owner, call, AbortSignal.any([leaving, expired])), leaving))) break
      }
      taken.push(owner)
    }
    if (hasNextPool) {
      const verdict = await quota.reserve(request)
      if (verdict.granted || verdict.reason === 'paused') return verdict
    }
    const maxWaitMs = Math.max(0, Math.floor(untilMs - performance.now()))
    const verdict = await quota.reserve({ ...request, maxWaitMs, signal: leaving, onWaiting })
    if (wait.line.has(call)) metrics.quotaWait(request.priority, performance.now() - sinceMs)
    return verdict
  } finally {
    wait.line.delete(call)
    for (const owner of taken) places.release(owner, call)
    onPlace(undefined)
  }
}

/** False when the time of the request was over first: then it may not wait any more. */
async function hasTaken(taking: Promise<void>, leaving: AbortSignal): Promise<boolean> {
  try {
    await taking
    return true
  } catch (error) {
    if (leaving.aborted) throw error
    return false
  }
}

function clientRefused({ most }: PlaceOwner, { startsInMs }: Place): ClientRefused {
  return { granted: false, reason: 'client', limitType: 'client', places: most, retryAfterMs: startsInMs }
}

/** Notes when a call of a request starts, and tells the client if none of the others starts before. */
function noteStart({ line, onPlace }: RunWait, call: object, place: Place): void {
  line.set(call, performance.now() + place.startsInMs)
  if (line.get(call) === Math.min(...line.values())) onPlace?.(place)
}

/**
 * The call of another client that this one has joined waits in line, as `place` says: this client waits with it, unless it does
 * not want to wait for so long.
 */
export function waitForOther(
  wait: RunWait | undefined,
  call: object,
  { place: text, limit }: { place: string; limit: Pick<TimeLimit, 'abort'> },
): void {
  const place = readPlace(text)
  if (wait && performance.now() + place.startsInMs <= wait.untilMs) noteStart(wait, call, place)
  else limit.abort(sameRequestWaits(place.startsInMs))
}

/** A place in line, for those who wait for the same call, perhaps in other processes: so by the wall clock. */
export function writePlace({ startsInMs, position }: Place): string {
  return `${Date.now() + startsInMs} ${position}`
}

/** The reverse of `writePlace`. */
function readPlace(text: string): Place {
  const [startsAtMs = 0, position = 1] = text.split(' ').map(Number)
  return { startsInMs: Math.max(0, startsAtMs - Date.now()), position }
}
