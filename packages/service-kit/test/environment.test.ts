import t from 'tap'
import { Type } from 'typebox'
import { EnvironmentError, readEnvironment, setting } from '../src/environment.ts'
import { geminiServiceSettings, quotaOptions } from '../src/settings.ts'

const settings = Type.Object(geminiServiceSettings(5001))

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
  t.match(quotaOptions(readEnvironment(settings, {})), { windowMs: 60_000, transitMs: 500, newPool: 'hold' })
  const budget = { QUOTA_OUTAGE_RPM: '2', QUOTA_MAX_INSTANCES: '3' }
  t.match(quotaOptions(readEnvironment(settings, budget)), { outage: { rpm: 2, maxInstances: 3 } })
  for (const wrong of [{ QUOTA_OUTAGE_RPM: '5', QUOTA_MAX_INSTANCES: '3' }, { QUOTA_OUTAGE_RPM: '1' }])
    t.throws(() => quotaOptions(readEnvironment(settings, wrong)), {
      name: 'RangeError',
      message: /^QUOTA_OUTAGE_RPM × QUOTA_MAX_INSTANCES must be above 0 and below QUOTA_RPM \(15\), not/,
    })
  const scaled = { QUOTA_WINDOW_MS: '6000', QUOTA_TRANSIT_MS: '50', QUOTA_NEW_POOL: 'open' }
  t.match(quotaOptions(readEnvironment(settings, scaled)), { windowMs: 6_000, transitMs: 50, newPool: 'open' })
})

t.test('converts texts, and takes an empty variable as absent', async (t) => {
  const config = readEnvironment(settings, {
    PORT: ' 8080 ',
    REDIS_ENABLED: 'false',
    QUOTA_SAFETY_MARGIN: '0.5',
    REDIS_URL: '',
  })
  t.match(config, { PORT: 8080, REDIS_ENABLED: false, QUOTA_SAFETY_MARGIN: 0.5 })
  t.notOk('REDIS_URL' in config)
})

t.test('names every fault in one message, each with what is expected', async (t) => {
  const env = {
    PORT: 'eighty',
    LOG_LEVEL: 'loud',
    REDIS_ENABLED: 'perhaps',
    REDIS_URL: 'http://secret@host',
    QUOTA_RPM: '0',
    QUOTA_SAFETY_MARGIN: '0',
    QUOTA_DAY_TIMEZONE: 'Mars/Olympus',
    GEMINI_BASE_URL: 'google',
    IMAGE_BACKEND: 'paint',
  }
  const error = t.throws(() => readEnvironment(settings, env), EnvironmentError) as EnvironmentError
  t.same([...error.faults].sort(), [
    'GEMINI_BASE_URL="google": expected an http:// or https:// URL',
    'IMAGE_BACKEND="paint": expected gemini or imagen',
    'LOG_LEVEL="loud": expected fatal or error or warn or info or debug or trace or silent',
    'PORT="eighty": expected a whole number from 0 to 65535',
    'QUOTA_DAY_TIMEZONE="Mars/Olympus": expected an IANA time zone such as America/Los_Angeles',
    'QUOTA_RPM="0": expected a whole number from 1 to 1000000',
    'QUOTA_SAFETY_MARGIN="0": expected a number from above 0 to 1',
    'REDIS_ENABLED="perhaps": expected true or false',
    'REDIS_URL=(hidden): expected a redis:// or rediss:// URL',
  ])
  for (const fault of error.faults) t.match(error.message, fault)
  t.notMatch(error.message, 'secret')
})

t.test('names a required setting that is missing', async (t) => {
  const schema = Type.Object({ NEEDED: Type.String({ description: 'x' }), PORT: setting.optionalPort('y') })
  t.throws(() => readEnvironment(schema, {}), { message: /NEEDED is required: expected a text/ })
})

t.test('refuses fractions, signs and exponents beyond the bounds of a whole number', async (t) => {
  for (const PORT of ['1.5', '-1', '65536', '1e9', 'NaN', 'Infinity', '0x50x']) {
    t.throws(() => readEnvironment(settings, { PORT }), { message: /PORT=/ }, PORT)
  }
})

t.test('rules between settings see what is right by itself, and their faults stand beside the others', async (t) => {
  const rule = ({ PORT, QUOTA_RPM }: { PORT?: number; QUOTA_RPM?: number }) => [`PORT ${PORT}, QUOTA_RPM ${QUOTA_RPM}`]
  const error = t.throws(() => readEnvironment(settings, { PORT: 'x', QUOTA_RPM: '7' }, rule), EnvironmentError)
  t.match((error as EnvironmentError).faults, [/^PORT="x"/, 'PORT undefined, QUOTA_RPM 7'])
  t.match(
    readEnvironment(settings, {}, () => []),
    { PORT: 5001 },
  )
})
