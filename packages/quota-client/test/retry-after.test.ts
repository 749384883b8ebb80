import { redisServerForTest } from '@knowalledge/testing'
import t, { type Test } from 'tap'
import { createQuotaClient, type QuotaClient, type QuotaClientOptions } from '../src/index.ts'
import { ask, heldBy, roomy } from './support/requests.ts'
import { VirtualPool } from './support/virtual-redis.ts'
import { VirtualTime } from './support/virtual-runtime.ts'

const minute = { windowMs: 24_000, transitMs: 140 }
const ringMs = 24_000 + 140 + 100 // 100 for clocks
const bucketMs = 101

type Make = (t: Test, options: Partial<QuotaClientOptions>) => Promise<{ quota: QuotaClient; time: VirtualTime }>

function waits(t: Test, make: Make): void {
  for (const [tokens, leaving] of [
    [300, 1],
    [301, 2],
    [350, 2],
    [351, 3],
    [500, 3],
  ] as const)
    t.test(`is when the ${leaving} oldest of three have left, to the millisecond, for ${tokens} tokens`, async (t) => {
      const { quota, time } = await make(t, { limits: { ...roomy, tpm: 500 }, ...minute })
      await time.pass(50)
      const takenMs: number[] = []
      for (const taken of [100, 50, 150]) {
        heldBy(await quota.reserve(ask({ tokens: taken })))
        takenMs.push(time.nowMs)
        await time.pass(1333)
      }
      const leavesMs = Math.floor((takenMs[leaving - 1] ?? 0) / bucketMs) * bucketMs + ringMs + bucketMs
      const refused = await quota.reserve(ask({ tokens }))
      t.match(refused, { granted: false, reason: 'spent', limitType: 'tpm', retryAfterMs: leavesMs - time.nowMs + 1 })
      if (refused.granted) return
      await time.pass(refused.retryAfterMs - 2)
      t.match(await quota.reserve(ask({ tokens })), { granted: false, retryAfterMs: 2 })
      await time.pass(1)
      t.match(await quota.reserve(ask({ tokens })), { granted: true }, 'one millisecond is for timers that fire early')
    })

  t.test('is the longest of the limits that refuse', async (t) => {
    const { quota, time } = await make(t, { limits: { ...roomy, rpm: 2, rpd: 3 }, ...minute })
    heldBy(await quota.reserve(ask({ requests: 2 })))
    t.match(await quota.reserve(ask()), { limitType: 'rpm', limit: 2 })
    await time.pass(ringMs + bucketMs)
    heldBy(await quota.reserve(ask()))
    const dayLeftMs = Date.parse('2037-07-02T07:00:00Z') - time.nowMs
    t.match(await quota.reserve(ask({ requests: 2 })), { limitType: 'rpd', limit: 3, retryAfterMs: dayLeftMs + 1 })
    const tenant = { id: 'one', limits: { rpm: 0 } }
    t.match(await quota.reserve(ask({ tenant })), { reason: 'too_large', tenant: 'one', limit: 0 })
  })
}

t.test('retryAfterMs in memory', async (t) =>
  waits(t, async (_t, options) => {
    const time = new VirtualTime('2037-07-01T12:00:00Z')
    return { quota: createQuotaClient({ pool: 'retry', limits: roomy, ...options }, time.runtime()), time }
  }),
)

t.test('retryAfterMs in Redis', async (t) => {
  const server = await redisServerForTest(t)
  const redis = server.connect()
  waits(t, async (t, options) => {
    const pool = new VirtualPool(t, redis)
    return { quota: await pool.servingInstance(options), time: pool.time }
  })
})
