import t from 'tap'
import { Type } from 'typebox'
import { EnvironmentError, readEnvironment, serverSettings, setting } from '../src/index.ts'

const settings = Type.Object({
  ...serverSettings(5001),
  CACHED: setting.flag('A flag', { default: true }),
  RPM: setting.wholeNumber('A whole number', { default: 15, minimum: 1, maximum: 1_000_000 }),
  MARGIN: setting.number('A number', { default: 0.8, exclusiveMinimum: 0, maximum: 1 }),
  BACKEND: setting.oneOf(['gemini', 'imagen'], 'One of a list', { default: 'gemini' }),
  REDIS_URL: Type.Optional(Type.String({ pattern: '^rediss?://', expectation: 'a redis:// or rediss:// URL' })),
  ZONE: Type.Refine(
    Type.String({ default: 'UTC', expectation: 'an IANA time zone' }),
    (zone) => !zone.startsWith('Mars'),
    () => 'not a time zone',
  ),
})

t.test('fills in defaults, leaves out what is absent, and freezes the result', async (t) => {
  const config = readEnvironment(settings, {})
  t.match(config, { PORT: 5001, LOG_LEVEL: 'info', CACHED: true, MARGIN: 0.8 })
  t.notOk('REDIS_URL' in config)
  t.ok(Object.isFrozen(config))
})

t.test('converts texts, and takes an empty variable as absent', async (t) => {
  const config = readEnvironment(settings, {
    PORT: ' 8080 ',
    CACHED: 'false',
    MARGIN: '0.5',
    REDIS_URL: '',
  })
  t.match(config, { PORT: 8080, CACHED: false, MARGIN: 0.5 })
  t.notOk('REDIS_URL' in config)
})

t.test('names every fault in one message, each with what is expected', async (t) => {
  const env = {
    PORT: 'eighty',
    LOG_LEVEL: 'loud',
    CACHED: 'perhaps',
    REDIS_URL: 'http://secret@host',
    RPM: '0',
    MARGIN: '0',
    ZONE: 'Mars/Olympus',
    BACKEND: 'paint',
  }
  const error = t.throws(() => readEnvironment(settings, env), EnvironmentError) as EnvironmentError
  t.same([...error.faults].sort(), [
    'BACKEND="paint": expected gemini or imagen',
    'CACHED="perhaps": expected true or false',
    'LOG_LEVEL="loud": expected fatal or error or warn or info or debug or trace or silent',
    'MARGIN="0": expected a number from above 0 to 1',
    'PORT="eighty": expected a whole number from 0 to 65535',
    'REDIS_URL=(hidden): expected a redis:// or rediss:// URL',
    'RPM="0": expected a whole number from 1 to 1000000',
    'ZONE="Mars/Olympus": expected an IANA time zone',
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
  const rule = ({ PORT, RPM }: { PORT?: number; RPM?: number }) => [`PORT ${PORT}, RPM ${RPM}`]
  const error = t.throws(() => readEnvironment(settings, { PORT: 'x', RPM: '7' }, rule), EnvironmentError)
  t.match((error as EnvironmentError).faults, [/^PORT="x"/, 'PORT undefined, RPM 7'])
  t.match(
    readEnvironment(settings, {}, () => []),
    { PORT: 5001 },
  )
})
