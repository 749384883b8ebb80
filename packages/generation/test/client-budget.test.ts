import { redisServerForTest } from '@knowalledge/testing'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import {
  type BudgetClient,
  type ClientBudget,
  type ClientBudgetOptions,
  createClientBudget,
} from '../src/client-budget.ts'

const limits = { rpm: 15, rpd: 1_500, tpm: 1_000_000, tpd: 50_000_000 }
const noon = Date.UTC(2030, 0, 2, 20) // in California
const browser = (name: string, address = '192.0.2.1'): BudgetClient => ({ id: `browser ${name}`, address })
const tenant = (name: string): BudgetClient => ({ id: `tenant ${name}` })

interface Budget {
  clock: { nowMs: number }
  /** How many of these calls, one after the other, are granted. */
  take(client: BudgetClient, calls: number): Promise<number>
  /** Seconds until these calls together could be taken; 0: they were. */
  wait(client: BudgetClient, requests?: number): Promise<number>
  budget: ClientBudget
}

function budgetOver(options: Partial<ClientBudgetOptions>): Budget {
  const clock = { nowMs: noon }
  const budget = createClientBudget({
    pool: 'test',
    limits,
    windowMs: 60_000,
    dayTimeZone: 'America/Los_Angeles',
    sharePerDay: 0.25,
    clock: () => clock.nowMs,
    ...options,
  })
  const wait = async (client: BudgetClient, requests = 1) => {
    const verdict = await budget.take(client, { requests, tokens: requests * 1_000 })
    return verdict.granted ? 0 : verdict.retryAfterMs / 1000
  }
  const take = async (client: BudgetClient, calls: number) => {
    let granted = 0
    for (let n = 0; n < calls; n++) if ((await wait(client)) === 0) granted++
    return granted
  }
  return { clock, budget, take, wait }
}

const contract: [
  what: string,
  test: (t: Test, budgetWith: (options?: Partial<ClientBudgetOptions>) => Budget) => Promise<void>,
][] = [
  [
    'a client that is alone may use all of the window',
    async (t, budgetWith) => {
      t.equal(await budgetWith().take(browser('a'), 15), 15)
    },
  ],
  [
    'while others ask, a client may use half of what they leave free, and others always find room',
    async (t, budgetWith) => {
      const { take } = budgetWith()
      t.equal(await take(tenant('b'), 1), 1)
      t.equal(await take(tenant('a'), 15), 7, 'half of 14')
      t.equal(await take(tenant('b'), 15), 3, 'four of the eight that a leaves')
      t.equal(await take(tenant('c'), 15), 2, 'half of four')
      t.equal(await take(tenant('d'), 15), 1, 'half of two')
      t.equal(await take(tenant('e'), 15), 1, 'the last one: the first call of a client passes')
    },
  ],
  [
    'the wait is enough: until own calls leave the window, or until nobody else asks',
    async (t, budgetWith) => {
      const { take, wait, clock } = budgetWith()
      await take(tenant('a'), 7)
      clock.nowMs += 20_000
      await take(tenant('b'), 1)
      const seconds = await wait(tenant('a'))
      t.equal(seconds, 45, 'one window and one bucket after they were taken')
      clock.nowMs += (seconds - 0.001) * 1000
      t.ok((await wait(tenant('a'))) > 0, 'and a moment less is not')
      clock.nowMs += 1
      t.equal(await wait(tenant('a')), 0)
      const large = await wait(tenant('a'), 12)
      t.ok(large > 0 && large <= 60, 'more than half: when nobody else has asked for a window')
      clock.nowMs += large * 1000
      t.equal(await wait(tenant('a'), 12), 0)
    },
  ],
  [
    'thirty browsers behind one address are thirty clients',
    async (t, budgetWith) => {
      const { take } = budgetWith({ limits: { ...limits, rpm: 60 } })
      const granted = await Promise.all(Array.from({ length: 30 }, (_, n) => take(browser(String(n)), 1)))
      t.equal(
        granted.reduce((sum, one) => sum + one),
        30,
      )
    },
  ],
  [
    'who mints cookies is still one address: three quarters while others ask elsewhere',
    async (t, budgetWith) => {
      const { take } = budgetWith()
      t.equal(await take(browser('polite', '192.0.2.2'), 1), 1)
      let minted = 0
      for (let n = 0; n < 30; n++) minted += await take(browser(`minted ${n}`), 1)
      t.equal(minted, 10, 'three quarters of 14')
      t.equal(await take(browser('polite', '192.0.2.2'), 15), 1, 'half of five, one of which it has')
      t.equal(await take(tenant('school'), 15), 1)
    },
  ],
  [
    'on a day a client may use its share, asked by others or not, and a new day begins with none used',
    async (t, budgetWith) => {
      const { take, wait, clock } = budgetWith({ limits: { ...limits, rpd: 40 } })
      t.equal(await take(browser('a'), 15), 10)
      clock.nowMs += 3_600_000
      t.equal(await wait(browser('a')), 11 * 3_600, 'at midnight in California')
      clock.nowMs += 3_600_000
      t.equal(await take(browser('b'), 15), 10)
      clock.nowMs += 10 * 3_600_000
      t.equal(await take(browser('a'), 15), 10)
    },
  ],
  [
    'tokens are shared like requests',
    async (t, budgetWith) => {
      const { take } = budgetWith({ limits: { ...limits, tpm: 10_000 } })
      await take(tenant('b'), 1)
      t.equal(await take(tenant('a'), 15), 4)
    },
  ],
  [
    'a tenant with limits of its own is not bounded here, and its calls are those of others',
    async (t, budgetWith) => {
      const { take } = budgetWith()
      t.equal(await take({ id: 'tenant a', hasOwnLimits: true }, 20), 20)
      t.equal(await take(tenant('b'), 15), 1)
    },
  ],
  [
    'what never reached Gemini is given back',
    async (t, budgetWith) => {
      const { take, budget } = budgetWith()
      await take(tenant('b'), 1)
      const verdict = await budget.take(tenant('a'), { requests: 7, tokens: 7_000 })
      t.equal(await take(tenant('a'), 1), 0)
      if (verdict.granted) await verdict.giveBack({ requests: 7, tokens: 7_000 })
      t.equal(await take(tenant('a'), 15), 7)
    },
  ],
]

t.test('in memory', async (t) => {
  for (const [what, test] of contract) await t.test(what, (t) => test(t, (options) => budgetOver({ ...options })))
})

t.test('in Redis', async (t) => {
  const redis = (await redisServerForTest(t)).connect()
  for (const [n, [what, test]] of contract.entries())
    await t.test(what, (t) => test(t, (options) => budgetOver({ redis, pool: `test ${n}`, ...options })))
})

t.test('both decide the same, call by call', async (t) => {
  const redis = (await redisServerForTest(t)).connect()
  const clients: BudgetClient[] = [
    browser('a'),
    browser('b'),
    browser('c', '192.0.2.2'),
    { id: 'address 192.0.2.2', address: '192.0.2.2' },
    tenant('d'),
    { id: 'tenant e', hasOwnLimits: true },
  ]
  const step = fc.record({
    client: fc.constantFrom(...clients),
    requests: fc.constantFrom(1, 1, 1, 3, 12),
    tokens: fc.integer({ min: 0, max: 20_000 }),
    laterMs: fc.constantFrom(0, 0, 1, 700, 5_000, 61_000, 5_000_000),
    isGivenBack: fc.constantFrom(false, false, true),
  })
  let pool = 0
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const options = { pool: `same ${pool++}`, limits: { rpm: 15, rpd: 60, tpm: 60_000, tpd: 500_000 } }
      const both = [budgetOver(options), budgetOver({ ...options, redis })]
      for (const { client, requests, tokens, laterMs, isGivenBack } of steps) {
        const verdicts = []
        for (const { budget, clock } of both) {
          clock.nowMs += laterMs
          const verdict = await budget.take(client, { requests, tokens })
          if (verdict.granted && isGivenBack) await verdict.giveBack({ requests, tokens })
          verdicts.push(verdict.granted || verdict.retryAfterMs)
        }
        if (verdicts[0] !== verdicts[1]) throw new Error(`in memory ${verdicts[0]}, in Redis ${verdicts[1]}`)
      }
    }),
    { numRuns: 200 },
  )
})

t.test('several processes share one budget; without Redis each counts for itself, and says so once', async (t) => {
  const server = await redisServerForTest(t)
  const faults: string[] = []
  const onFault = ({ state }: { state: string }) => void faults.push(state)
  const [one, other] = [0, 1].map(() => {
    const redis = server.connect({ enableOfflineQueue: false, maxRetriesPerRequest: 0 })
    return { redis, budget: budgetOver({ redis, onFault }) }
  })
  if (!one || !other) throw new Error('there are two')
  await Promise.all([one, other].map(({ redis }) => new Promise((resolve) => redis.once('ready', resolve))))
  await one.budget.take(tenant('b'), 1)
  t.equal((await one.budget.take(tenant('a'), 4)) + (await other.budget.take(tenant('a'), 9)), 7)
  await server.restart()
  server.process.kill('SIGKILL')
  await new Promise((resolve) => (one.redis.status === 'ready' ? one.redis.once('close', resolve) : resolve(undefined)))
  await one.budget.take(tenant('b'), 1)
  t.equal(await one.budget.take(tenant('a'), 15), 7)
  t.same(faults, ['degraded'])
})
