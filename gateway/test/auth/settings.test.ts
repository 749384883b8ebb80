import { EnvironmentError } from '@knowalledge/service-kit'
import t from 'tap'
import { loadConfig } from '../../src/config.ts'
import { gatewaySecret, sessionSecret } from './fixtures.ts'

const faultsOf = (env: Record<string, string>) =>
  (t.throws(() => loadConfig(env), EnvironmentError) as EnvironmentError).faults

t.test('AUTH is off by default, and then nothing else is needed', async (t) => {
  t.match(loadConfig({}), { AUTH: 'off', COOKIE_SECURE: true, SESSION_IDLE_MINUTES: 60, SESSION_MAX_HOURS: 12 })
  t.match(loadConfig({ AUTH: 'off', REDIS_ENABLED: 'false' }), { AUTH: 'off' })
})

t.test('AUTH=required needs Redis and two secrets: all that is wrong is said in one message', async (t) => {
  t.match(loadConfig({ AUTH: 'required', SESSION_SECRET: sessionSecret, GATEWAY_SECRET: gatewaySecret }), {
    AUTH: 'required',
  })
  t.match(faultsOf({ AUTH: 'required', REDIS_ENABLED: 'false', PORT: 'x' }), [
    /^PORT/,
    /^GATEWAY_SECRET is required with AUTH=required: .*32 characters.* gateway and services/,
    /^AUTH=required with REDIS_ENABLED=false: .*REDIS_URL/,
    /^SESSION_SECRET is required with AUTH=required: .*32 characters/,
  ])
})

t.test('a secret that is too short is named once and not shown', async (t) => {
  t.same(faultsOf({ AUTH: 'required', SESSION_SECRET: 'short-and-secret', GATEWAY_SECRET: gatewaySecret }), [
    'SESSION_SECRET=(hidden): expected at least 32 characters',
  ])
})
