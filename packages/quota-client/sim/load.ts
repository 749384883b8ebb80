import type { Place, Reservation, ReserveRequest, Verdict } from '../src/types.ts'
import type { Member } from './member.ts'
import type { LineCall, Oracle, Started } from './oracle.ts'
import type { Random } from './random.ts'
import { type Load, lengths, type Schedule } from './schedule.ts'
import type { VirtualRedis } from './server.ts'

export interface LoadTools {
  schedule: Schedule
  oracle: Oracle
  server: VirtualRedis
  random: Random
}

/** How long a call to the provider takes at most. */
const longestCallMs = 8000

/** Makes the calls of one load at one member, with that member's timers, for as long as it lives. */
export function generateLoad(member: Member, load: Load, { schedule, oracle, server, random }: LoadTools): void {
  const { process } = member
  const nowMs = () => process.time.nowMs
  const tenantLimits = load.tenant === undefined ? undefined : schedule.tenants[load.tenant]
  const wait = (ms: number, then: () => void) => process.setTimer(then, ms)

  function request(requests: number): ReserveRequest {
    const tokens = requests * random.whole(...load.tokens)
    const tenant = load.tenant === undefined ? undefined : { id: load.tenant, limits: tenantLimits ?? {} }
    return { requests, tokens, priority: load.priority, tenant }
  }

  /** For how long it waits, for whom, and when it gives up. */
  function waiting(): Pick<ReserveRequest, 'maxWaitMs' | 'client' | 'signal'> {
    const { waits } = load
    if (waits === undefined) return {}
    const client = waits.clients === 0 ? '' : `client ${random.whole(1, waits.clients)}`
    const maxWaitMs = Math.ceil(waits.mostMs)
    if (!random.chance(waits.aborted)) return { maxWaitMs, client }
    const giving = new AbortController()
    wait(random.between(0, random.pick([20, maxWaitMs])), () => giving.abort(new Error('given up')))
    return { maxWaitMs, client, signal: giving.signal }
  }

  async function reserve(requests: number): Promise<Verdict | undefined> {
    const asked = { ...request(requests), ...waiting() }
    const { maxWaitMs = 0, client = '' } = asked
    const told: LineCall['told'] = []
    const answered = oracle.requested({ member, ...load, tenant: load.tenant, requests, client, maxWaitMs, told })
    const onWaiting = ({ startsInMs }: Place) => told.push({ atMs: nowMs(), startsMs: nowMs() + startsInMs })
    const verdict = await member.quota.reserve({ ...asked, onWaiting }).catch((error) => {
      if (!asked.signal?.aborted) throw error
    })
    answered(verdict ?? 'left')
    if (verdict === undefined) return undefined
    if (load.tenant !== undefined) oracle.knows(member, load.tenant)
    if (!verdict.granted) return verdict
    const { lastDelivery } = member.connection
    if (lastDelivery === undefined) throw new Error(`${member.name} was granted a call before it had a reply`)
    const margin = load.priority === 'batch' && maxWaitMs === 0 ? member.configuration.safetyMargin : 1
    const parts = requests === 1 ? [verdict.reservation] : verdict.reservation.split(requests)
    for (const part of parts) {
      const grant = { member, delivery: lastDelivery, part, tenant: load.tenant, margin }
      start(part, () => oracle.started(grant))
    }
    return verdict
  }

  /** Some callers are quick, some are held up until the grant is nearly or surely too old. */
  function start(part: Reservation, begin: () => Started): void {
    const go = () => {
      if (part.start()) finish(part, begin())
    }
    if (load.startsAfterMs === 0) go()
    else wait(-Math.log(1 - random.next()) * load.startsAfterMs, go)
  }

  function finish(part: Reservation, started: Started): void {
    wait(random.between(50, longestCallMs), () => {
      const x = random.next()
      let tokens = part.tokens
      if (x < load.released) {
        started.released()
        part.release()
        return
      }
      if (x < load.released + load.less) tokens = random.whole(0, part.tokens)
      else if (x < load.released + load.less + load.more) tokens += random.whole(1, part.tokens + 1)
      started.settled(tokens)
      part.settle(tokens)
    })
  }

  /** Until just before or just after a new bucket of Redis begins: what is charged at a bucket's end leaves the ring first. */
  function untilBucketEnds(): number {
    const { bucketMs } = lengths(member.configuration)
    const nextMs = Math.floor((load.everyMs * random.between(0.2, 1.8)) / bucketMs) * bucketMs
    return nextMs + 2 * bucketMs - (server.clockMs() % bucketMs) + random.between(-4, 3)
  }

  function call(): void {
    if (load.kind === 'usage') void member.quota.usage()
    else if (load.kind === 'presentation') void reserve(load.size)
    else for (let at = 0; at < load.size; at++) void reserve(1)
  }

  function loop(): void {
    if (!member.isAlive || nowMs() >= load.untilMs) return
    if (load.kind === 'greedy') {
      void reserve(1).then((verdict) =>
        wait(!verdict || verdict.granted ? 5 : Math.min(verdict.retryAfterMs, 1000), loop),
      )
      return
    }
    call()
    wait(load.kind === 'bucket-end' ? untilBucketEnds() : load.everyMs * random.between(0.2, 1.8), loop)
  }

  wait(Math.max(0, load.fromMs - nowMs()) + random.between(0, load.everyMs), loop)
}
