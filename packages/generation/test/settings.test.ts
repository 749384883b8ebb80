import { type Environment, readEnvironment } from '@knowalledge/service-kit'
import t from 'tap'
import { chainsOf, serviceFaults, serviceSettings } from '../src/index.ts'
import { planPools } from '../src/pools.ts'
import { quotaOptions } from '../src/quota.ts'

const settings = serviceSettings(5001)
const optionsFor = (env: Environment) => {
  const config = readEnvironment(settings, env)
  return quotaOptions(config, planPools(config)[0])
}

t.test('fills in the defaults of the contract', async (t) => {
  const config = readEnvironment(settings, {})
  t.match(config, {
    PORT: 5001,
    QUOTA_RPM: 15,
    QUOTA_RPD: 1_500,
    QUOTA_TPM: 1_000_000,
    QUOTA_TPD: 50_000_000,
    QUOTA_SAFETY_MARGIN: 0.8,
    QUOTA_DAY_TIMEZONE: 'America/Los_Angeles',
    REDIS_ENABLED: true,
    REDIS_HOST: 'localhost',
    REDIS_PORT: 6379,
    GEMINI_TEXT_MODEL: 'gemini-3.8-flash',
  })
  t.notOk('GEMINI_API_KEY' in config)
  t.ok(Object.isFrozen(config))
})

t.test('outage budgets that leave nothing to share are rejected, with the names of their settings', async (t) => {
  t.match(optionsFor({}), { windowMs: 60_000, transitMs: 500, newPool: 'hold' })
  const budget = { QUOTA_OUTAGE_RPM: '2', QUOTA_MAX_INSTANCES: '3' }
  t.match(optionsFor(budget), { outage: { rpm: 2, maxInstances: 3 } })
  for (const wrong of [{ QUOTA_OUTAGE_RPM: '5', QUOTA_MAX_INSTANCES: '3' }, { QUOTA_OUTAGE_RPM: '1' }])
    t.throws(() => optionsFor(wrong), {
      name: 'RangeError',
      message: /^QUOTA_OUTAGE_RPM × QUOTA_MAX_INSTANCES must be above 0 and below QUOTA_RPM \(15\), not/,
    })
  const scaled = { QUOTA_WINDOW_MS: '6000', QUOTA_TRANSIT_MS: '50', QUOTA_NEW_POOL: 'open' }
  t.match(optionsFor(scaled), { windowMs: 6_000, transitMs: 50, newPool: 'open' })
})

t.test('values that fit no quota are rejected, and a secret in a URL is not shown', async (t) => {
  const wrong = { QUOTA_RPM: '0', QUOTA_SAFETY_MARGIN: '0', QUOTA_DAY_TIMEZONE: 'Mars/Olympus', IMAGE_BACKEND: 'paint' }
  const error = t.throws(() => readEnvironment(settings, { ...wrong, REDIS_URL: 'http://secret@host' }))
  t.match(error, {
    faults: [
      'IMAGE_BACKEND="paint": expected gemini or imagen',
      'REDIS_URL=(hidden): expected a redis:// or rediss:// URL',
      'QUOTA_RPM="0": expected a whole number from 1 to 1000000',
      'QUOTA_SAFETY_MARGIN="0": expected a number from above 0 to 1',
      'QUOTA_DAY_TIMEZONE="Mars/Olympus": expected an IANA time zone such as America/Los_Angeles',
    ],
  })
})

t.test(
  'each list of models is read in its order, and one that names nothing or a model twice is rejected',
  async (t) => {
    const env = { GEMINI_TEXT_MODEL: ' best , next ', GEMINI_IMAGE_MODEL: 'painter' }
    t.same(chainsOf(readEnvironment(settings, env, serviceFaults)), {
      text: ['best', 'next'],
      vision: ['gemini-3.8-flash'],
      image: ['painter'],
    })
    const wrong = { GEMINI_TEXT_MODEL: 'best,next,best', GEMINI_VISION_MODEL: ',', GEMINI_IMAGE_MODEL: 'one,,two' }
    const error = t.throws(() => readEnvironment(settings, wrong, serviceFaults))
    t.match(error, {
      faults: [
        'GEMINI_TEXT_MODEL names best twice: list each model once',
        'GEMINI_VISION_MODEL=",": expected models separated by commas, none empty',
        'GEMINI_IMAGE_MODEL="one,,two": expected models separated by commas, none empty',
      ],
    })
  },
)
