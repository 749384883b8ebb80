import { gatewaySecretFaults, gatewaySettings } from '@knowalledge/generation/gateway-headers'
import { type Environment, setting } from '@knowalledge/service-kit'
import { Type } from 'typebox'

export const authSettings = {
  ...gatewaySettings,
  SESSION_SECRET: Type.Optional(
    Type.String({
      description:
        'Signs the cookies of sessions and, with AUTH=off, of browsers; needed with AUTH=required, the same at every gateway',
      minLength: 32,
      expectation: 'at least 32 characters',
    }),
  ),
  SESSION_IDLE_MINUTES: setting.wholeNumber('A session that is not used for so long ends', {
    default: 60,
    minimum: 1,
    maximum: 10_080,
  }),
  SESSION_MAX_HOURS: setting.wholeNumber('A session ends so long after its login, used or not', {
    default: 12,
    minimum: 1,
    maximum: 720,
  }),
  MAX_SESSIONS_PER_KEY: setting.wholeNumber('Sessions of one key at once; beyond them a login ends the oldest', {
    default: 200,
    minimum: 1,
    maximum: 100_000,
  }),
  COOKIE_SECURE: setting.flag('false: browsers may send the session cookie over plain HTTP, as for development', {
    default: true,
  }),
}

interface Read {
  AUTH?: string
  REDIS_ENABLED?: boolean
}

/** What is wrong between settings that are fine each by itself. */
export function authFaults({ AUTH, REDIS_ENABLED }: Read, env: Environment): string[] {
  if (AUTH !== 'required') return []
  const faults = gatewaySecretFaults({ AUTH }, env)
  if (REDIS_ENABLED === false) {
    faults.push('AUTH=required with REDIS_ENABLED=false: keys and sessions are kept in Redis; say where with REDIS_URL')
  }
  if (!env.SESSION_SECRET?.trim()) {
    faults.push('SESSION_SECRET is required with AUTH=required: expected at least 32 characters')
  }
  return faults
}
