import { fork } from 'node:child_process'
import { once } from 'node:events'
import { redisServerForTest } from '@knowalledge/testing'
import t, { type Test } from 'tap'
import { createQuotaClient, type QuotaClient } from '../src/index.ts'
import { type Admission, most } from './support/oracle.ts'
import { minute, type Pattern, patternLimits, windows } from './support/patterns.ts'
import { ask, roomy } from './support/requests.ts'
import { VirtualPool } from './support/virtual-redis.ts'
import { VirtualTime } from './support/virtual-runtime.ts'

type Log = Record<Pattern, Admission[]>

t.test('the oracle itself sees what a fixed window lets through at its edge', async (t) => {
  const at = (ms: number): Admission => ({ askedMs: ms, answeredMs: ms + 1, requests: 1, tokens: 7 })
  const log = [at(950), at(960), at(1010), at(1020), at(2500)]
  t.equal(most('requests', log, 1000), 4)
  t.equal(most('tokens', log, 1000), 28)
  t.equal(most('requests', log, 62), 3)
})

t.test('real processes stay within the limits in every window', async (t) => {
  const server = await redisServerForTest(t)
  const [shared, alone] = await Promise.all([fleet(3, server.port), fleet(1, 0)])
  t.test('three over one Redis', async (t) => judge(t, shared))
  t.test('one with its store in memory', async (t) => judge(t, alone))
})

t.test('at least 98 % of a limit is used when calls come back as they are told', async (t) => {
  const server = await redisServerForTest(t)
  const redis = server.connect()
  const limits = { ...roomy, rpm: 20, rpd: 10_000 }
  for (const gapMs of [0, 1777]) {
    const pool = new VirtualPool(t, redis)
    t.ok((await usedShare(await pool.servingInstance({ limits }), pool.time, gapMs)) >= 0.98, `Redis, ${gapMs}`)
    const time = new VirtualTime('2037-07-01T12:00:00Z')
    const memory = createQuotaClient({ pool: 'steady', limits }, time.runtime())
    t.ok((await usedShare(memory, time, gapMs)) >= 0.98, `memory, ${gapMs}`)
  }
})

/** The share of the limit that was used in ten windows at the default lengths, by calls at least `gapMs` apart. */
async function usedShare(quota: QuotaClient, time: VirtualTime, gapMs: number): Promise<number> {
  const limit = 20
  const startMs = time.nowMs
  for (let granted = 0; granted <= 10 * limit; ) {
    const verdict = await quota.reserve(ask())
    if (verdict.granted) granted += 1
    if (granted <= 10 * limit) await time.pass(verdict.granted ? gapMs : verdict.retryAfterMs)
  }
  return (10 * 60_000) / (time.nowMs - startMs)
}

async function fleet(processes: number, port: number): Promise<Log> {
  const url = new URL('./support/pattern-process.ts', import.meta.url)
  const children = Array.from({ length: processes }, () => fork(url, [String(port)], { execArgv: [] }))
  await Promise.all(children.map((child) => once(child, 'message')))
  const fromMs = Date.now() + 500
  const untilMs = fromMs + (windows + 0.2) * minute.windowMs
  const logs = await Promise.all(
    children.map(async (child) => {
      child.send({ fromMs, untilMs })
      const [log] = (await once(child, 'message')) as [Log]
      return log
    }),
  )
  const all = (pattern: Pattern) => logs.flatMap((log) => log[pattern])
  return { hammer: all('hammer'), onOff: all('onOff'), edge: all('edge'), tokens: all('tokens') }
}

function judge(t: Test, log: Log): void {
  for (const pattern of ['hammer', 'onOff', 'edge', 'tokens'] as const) {
    const kind = pattern === 'tokens' ? 'tokens' : 'requests'
    const limit = pattern === 'tokens' ? patternLimits.tokens.tpm : patternLimits[pattern].rpm
    const worst = most(kind, log[pattern], minute.windowMs) / limit
    t.ok(worst <= 1, `${pattern}: at most ${worst.toFixed(4)} of the limit in any window`)
    if (pattern === 'hammer' || pattern === 'tokens') t.ok(worst > 0.8, `${pattern}: the limit was put to the test`)
  }
}
