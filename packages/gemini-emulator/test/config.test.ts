import t from 'tap'
import { loadConfig } from '../src/config.ts'

t.test('has defaults for everything', (t) => {
  t.same(loadConfig({}), {
    host: '127.0.0.1',
    port: 5004,
    logLevel: 'info',
    emulator: {
      limits: { rpm: 15, inputTpm: 1_000_000, rpd: 1500 },
      windowMs: 60_000,
      limitsPer: 'model',
      latencyMs: 0,
    },
  })
  t.same(loadConfig({ PORT: '', EMULATOR_API_KEYS: ' ' }), loadConfig({}), 'an empty value counts as absent')
  t.end()
})

t.test('takes every setting from the environment', (t) => {
  const config = loadConfig({
    HOST: '0.0.0.0',
    PORT: '6000',
    LOG_LEVEL: 'warn',
    EMULATOR_RPM: '5',
    EMULATOR_INPUT_TPM: '1000',
    EMULATOR_RPD: '50',
    EMULATOR_MODEL_LIMITS: 'lite=30/3K/1M/50M, closed=0/0/0',
    EMULATOR_WINDOW_MS: '6000',
    EMULATOR_LIMITS_PER: 'project',
    EMULATOR_LATENCY_MS: '20',
    EMULATOR_API_KEYS: 'one, two,',
  })
  t.same(config, {
    host: '0.0.0.0',
    port: 6000,
    logLevel: 'warn',
    emulator: {
      limits: { rpm: 5, inputTpm: 1000, rpd: 50 },
      modelLimits: {
        lite: { rpm: 30, inputTpm: 1_000_000, rpd: 3_000 },
        closed: { rpm: 0, inputTpm: 0, rpd: 0 },
      },
      windowMs: 6_000,
      limitsPer: 'project',
      latencyMs: 20,
      apiKeys: ['one', 'two'],
    },
  })
  t.end()
})

t.test('names every fault in one message', (t) => {
  const env = {
    PORT: '70000',
    EMULATOR_RPM: 'many',
    EMULATOR_RPD: '-1',
    LOG_LEVEL: 'loud',
    EMULATOR_LATENCY_MS: '1.5',
    EMULATOR_WINDOW_MS: '0',
    EMULATOR_LIMITS_PER: 'key',
    EMULATOR_MODEL_LIMITS: 'lite=30/3000',
  }
  t.throws(() => loadConfig(env), { name: 'ConfigError' })
  for (const name of Object.keys(env)) t.throws(() => loadConfig(env), { message: new RegExp(`- ${name} must be`) })
  t.end()
})
