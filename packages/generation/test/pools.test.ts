import { setTimeout as sleep } from 'node:timers/promises'
import { connectRedis } from '@knowalledge/redis-kit'
import { type Environment, readEnvironment } from '@knowalledge/service-kit'
import { redisServerForTest } from '@knowalledge/testing'
import t from 'tap'
import { serviceFaults, serviceSettings } from '../src/index.ts'
import { openPools, planPools } from '../src/pools.ts'
import { quotaChecks } from '../src/quota.ts'

const settings = serviceSettings(5001)
const models = { GEMINI_TEXT_MODEL: 'best,lite', GEMINI_VISION_MODEL: 'best', GEMINI_IMAGE_MODEL: 'painter' }
const configOf = (env: Environment) => readEnvironment(settings, { ...models, ...env }, serviceFaults)
const byModel = { QUOTA_SCOPE: 'model' }

t.test('all models share one pool by default, under the name that it always had', async (t) => {
  const limits = { rpm: 15, rpd: 1_500, tpm: 1_000_000, tpd: 50_000_000 }
  t.same(planPools(configOf({})), [{ name: 'gemini', models: ['best', 'lite', 'painter'], key: 'gemini', limits }])
})

t.test('with QUOTA_SCOPE=model each model has a pool, with limits of its own where it has some', async (t) => {
  const pools = planPools(
    configOf({ ...byModel, QUOTA_RPM: '7', QUOTA_MODEL_LIMITS: 'lite=30/3000/1M/50m, painter=2/20/5K/9' }),
  )
  t.match(pools, [
    { name: 'best', models: ['best'], key: 'gemini:best', limits: { rpm: 7, rpd: 1_500 } },
    { name: 'lite', models: ['lite'], limits: { rpm: 30, rpd: 3_000, tpm: 1_000_000, tpd: 50_000_000 } },
    { name: 'painter', models: ['painter'], limits: { rpm: 2, rpd: 20, tpm: 5_000, tpd: 9 } },
  ])
  t.equal(pools.length, 3, 'a model in two lists has one pool')
})

t.test('limits that cannot be meant stop the start with a message that names them', async (t) => {
  const faultsOf = (env: Environment) => {
    try {
      configOf(env)
    } catch (error) {
      return (error as { faults: string[] }).faults
    }
    return []
  }
  const table: [string, string][] = [
    ['other=1/1/1/1', 'QUOTA_MODEL_LIMITS names other, which is none of the models: best, lite, painter'],
    ['lite=1/1/1/1,lite=2/2/2/2', 'QUOTA_MODEL_LIMITS names lite twice: give each model one set of limits'],
    ['lite=30', 'QUOTA_MODEL_LIMITS: expected model=RPM/RPD/TPM/TPD, such as lite=30/3000/1M/50M, not "lite=30"'],
    ['lite=1/1/1/1,', 'QUOTA_MODEL_LIMITS: expected model=RPM/RPD/TPM/TPD, such as lite=30/3000/1M/50M, not ""'],
    [
      'lite=0/1/1/1',
      'QUOTA_MODEL_LIMITS: RPM of lite is "0": expected a whole number from 1 to 1000000, K and M for thousands and millions',
    ],
    [
      'lite=1/1/1.5M/1',
      'QUOTA_MODEL_LIMITS: TPM of lite is "1.5M": expected a whole number from 1 to 1000000000, K and M for thousands and millions',
    ],
  ]
  for (const [limits, fault] of table) t.same(faultsOf({ ...byModel, QUOTA_MODEL_LIMITS: limits }), [fault])
  t.same(faultsOf({ QUOTA_MODEL_LIMITS: 'lite=1/1/1/1' }), [
    'QUOTA_MODEL_LIMITS has an effect with QUOTA_SCOPE=model only: set that, or remove it',
  ])
  t.match(faultsOf({ ...byModel, GEMINI_TEXT_MODEL: 'tuned/x' }), [/^QUOTA_SCOPE=model: the pool gemini:tuned\/x must/])
})

t.test('readiness names the pool that is not serving', async (t) => {
  const health = { best: 'serving', lite: 'hold' } as const
  const pools = (['best', 'lite'] as const).map((name) => {
    const seen = { state: health[name], ...(name === 'lite' && { cause: 'empty', endsInMs: 1_500 }) } as never
    return { name, quota: { health: () => seen, usage: async () => ({}) as never } }
  })
  const { quota, redis } = quotaChecks(pools, { isObserver: false })
  const signal = new AbortController().signal
  t.same(await redis.check(signal), { status: 'healthy', ok: true })
  t.same(await quota.check(signal), { status: 'hold', ok: false, cause: 'empty', ends_in_seconds: 2, pool: 'lite' })
  const alone = quotaChecks(pools.slice(0, 1), { isObserver: false })
  t.same(await alone.quota.check(signal), { status: 'serving', ok: true })
})

t.test(
  'no model is called on two accounts while the scope of a running fleet is switched, there and back and there again',
  async (t) => {
    const server = await redisServerForTest(t)
    const windowMs = 1_000
    const scaled = { REDIS_URL: server.url, QUOTA_RPM: '5', QUOTA_WINDOW_MS: String(windowMs), QUOTA_TRANSIT_MS: '100' }
    const log = { debug() {}, info() {}, warn() {} }
    const grants = { project: [] as number[], model: [] as number[] }
    const member = async (scope: 'project' | 'model') => {
      const config = configOf({ ...scaled, QUOTA_SCOPE: scope })
      const redis = await connectRedis(config, { log })
      t.teardown(() => redis?.disconnect())
      const { pools, close } = openPools(config, { redis, role: 'member', faultsOf: () => () => {} })
      const isOver = { is: false }
      const calls = (async () => {
        while (!isOver.is) {
          const verdict = await pools[0].quota.reserve({ requests: 1, tokens: 100, priority: 'interactive' })
          if (verdict.granted && verdict.reservation.start()) grants[scope].push(performance.now())
          await sleep(10)
        }
      })()
      return async () => {
        isOver.is = true
        await calls
        await close()
      }
    }
    const granted = async (scope: 'project' | 'model', more: number) => {
      const enough = grants[scope].length + more
      while (grants[scope].length < enough) await sleep(10)
    }
    const leaveOld = await member('project')
    await granted('project', 6)
    const leaveNew = await member('model')
    await granted('model', 6)
    await leaveOld()
    const leaveLast = await member('project')
    await granted('model', 6)
    await leaveNew()
    await granted('project', 6)
    await leaveLast()
    // The models' pools are as they were left: what the project's pool has granted since is not in them.
    const leaveAgain = await member('model')
    await granted('model', 6)
    await leaveAgain()
    const times = [...grants.project, ...grants.model].sort((a, b) => a - b)
    const most = Math.max(...times.map((end) => times.filter((at) => at > end - windowMs && at <= end).length))
    t.ok(most <= 5, `${most} of ${times.length} calls in one window`)
  },
)
