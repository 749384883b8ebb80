import type { EventEmitter } from 'node:events'
import { isDeepStrictEqual } from 'node:util'
import { redisServerForTest } from '@knowalledge/testing'
import fc from 'fast-check'
import t from 'tap'
import {
  createQuotaClient,
  type PauseRequest,
  type Priority,
  type QuotaClient,
  type Reservation,
  type Tenant,
  type Verdict,
} from '../src/index.ts'
import { VirtualPool } from './support/virtual-redis.ts'

const limits = { rpm: 12, rpd: 60, tpm: 1200, tpd: 9000 }
/** Buckets of 101 ms. */
const minute = { windowMs: 24_000, transitMs: 140 }
const tenants: (Tenant | undefined)[] = [
  undefined,
  undefined,
  { id: 'a', limits: { rpm: 5, tpm: 700 } },
  { id: 'b', limits: { rpd: 8 } },
]

type Step =
  | { kind: 'reserve'; requests: number; tokens: number; priority: Priority; tenant: number }
  | { kind: 'settle'; which: number; share: number }
  | { kind: 'release'; which: number }
  | { kind: 'pass'; ms: number }
  | { kind: 'pause'; request: PauseRequest['limitType']; forMs: number | undefined }

const reserve = fc.record({
  kind: fc.constant('reserve' as const),
  requests: fc.integer({ min: 1, max: 4 }),
  tokens: fc.integer({ min: 0, max: 400 }),
  priority: fc.constantFrom<Priority>('interactive', 'batch'),
  tenant: fc.nat(tenants.length - 1),
})
const settle = fc.record({
  kind: fc.constant('settle' as const),
  which: fc.nat(20),
  share: fc.double({ min: 0, max: 2, noNaN: true }),
})
const release = fc.record({ kind: fc.constant('release' as const), which: fc.nat(20) })
const pass = fc.record({
  kind: fc.constant('pass' as const),
  ms: fc.constantFrom(0, 1, 100, 101, 102, 1000, 5000, 24_140, 24_240, 24_341, 24_342, 60_000, 3_600_000, 86_400_000),
})
const pause = fc.record({
  kind: fc.constant('pause' as const),
  request: fc.constantFrom<PauseRequest['limitType']>('rpm', 'rpd', 'tpm', 'upstream'),
  forMs: fc.constantFrom(undefined, 500, 10_000),
})
const plays = {
  'amounts of a pool and its tenants': fc.array(
    fc.oneof({ weight: 6, arbitrary: reserve }, settle, release, { weight: 3, arbitrary: pass }),
    { minLength: 5, maxLength: 60 },
  ),
  'pauses and shrunk limits': fc.array(
    fc.oneof({ weight: 6, arbitrary: reserve }, settle, release, { weight: 3, arbitrary: pass }, pause),
    { minLength: 5, maxLength: 60 },
  ),
}

/** Around both DST days of Los Angeles, and an ordinary midnight; in the future, lest Redis find the keys expired. */
const starts = [
  '2037-03-08T07:59:00Z',
  '2037-03-08T09:59:50Z',
  '2037-11-01T06:59:30Z',
  '2037-11-02T07:59:55Z',
  '2037-07-01T06:59:59Z',
]

t.test('decides in Redis exactly as in memory', async (t) => {
  const server = await redisServerForTest(t)
  const redis = server.connect()
  for (const [name, steps] of Object.entries(plays))
    t.test(name, async (t) => {
      const property = fc.asyncProperty(steps, fc.constantFrom(...starts), async (play: Step[], start) => {
        const pool = new VirtualPool(t, redis, start)
        const options = { limits, ...minute, safetyMargin: 0.7 }
        const connection = pool.connection()
        const shared = pool.instance({ ...options, redis: connection, newPool: 'open' })
        await pool.time.settle()
        const memory = createQuotaClient({ ...options, pool: 'memory' }, pool.time.runtime())
        await new Play(pool, { connection, shared, memory }).run(play)
        await shared.close()
      })
      await fc.assert(property, { numRuns: 100 })
    })
})

interface Twins {
  /** Of `shared`. */
  connection: EventEmitter
  shared: QuotaClient
  memory: QuotaClient
}

class Play {
  readonly #pool: VirtualPool
  readonly #twins: Twins
  readonly #held: Reservation[][] = []

  constructor(pool: VirtualPool, twins: Twins) {
    this.#pool = pool
    this.#twins = twins
  }

  async run(steps: Step[]): Promise<void> {
    const { shared, memory } = this.#twins
    for (const step of steps) {
      await this.#take(step)
      same(await figures(shared), await figures(memory), step)
    }
  }

  async #take(step: Step): Promise<void> {
    const { shared, memory } = this.#twins
    if (step.kind === 'pass') await this.#pool.time.jump(step.ms)
    else if (step.kind === 'reserve') {
      const request = { ...step, tenant: tenants[step.tenant] }
      const [one, other] = [await shared.reserve(request), await memory.reserve(request)]
      same(outcome(one), outcome(other), step)
      if (one.granted && other.granted) this.#held.push([one.reservation, other.reservation])
    } else if (step.kind === 'pause') {
      const untilMs = step.forMs === undefined ? undefined : this.#pool.time.nowMs + step.forMs
      for (const quota of [shared, memory]) await quota.pause({ limitType: step.request, untilMs })
    } else {
      for (const reservation of this.#held[step.which] ?? [])
        if (step.kind === 'release') reservation.release()
        else reservation.settle(Math.floor(reservation.tokens * step.share))
      // A heartbeat tells Redis at once: what a tenant takes back would be too late after a step of a ring's length.
      this.#twins.connection.emit('ready')
      await this.#pool.time.settle()
    }
  }
}

function outcome(verdict: Verdict): unknown {
  return verdict.granted ? true : verdict
}

async function figures(quota: QuotaClient): Promise<unknown> {
  const { requests, tokens, pause } = await quota.usage()
  return { requests, tokens, pause }
}

function same(one: unknown, other: unknown, step: Step): void {
  if (isDeepStrictEqual(one, other)) return
  const [redis, memory] = [one, other].map((value) => JSON.stringify(value))
  throw new Error(`after ${JSON.stringify(step)} Redis says\n${redis}\nand memory\n${memory}`)
}
