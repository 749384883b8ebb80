import { serviceFaults, serviceSettings } from '@knowalledge/generation'
import { type Environment, readEnvironment, setting } from '@knowalledge/service-kit'
import { type Static, Type } from 'typebox'

export const settings = Type.Object({
  ...serviceSettings(5002).properties,
  UPLOAD_MEMORY_MEGABYTES: setting.wholeNumber('Memory for uploads in progress; those beyond it get a 503', {
    default: 64,
    minimum: 32,
    maximum: 65_536,
  }),
})
export type Config = Readonly<Static<typeof settings>>

/** The only place where this service reads its environment. Throws EnvironmentError naming every fault. */
export function loadConfig(env: Environment = process.env): Config {
  return readEnvironment(settings, env, serviceFaults)
}
