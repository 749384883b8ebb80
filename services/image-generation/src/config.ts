import { type Environment, geminiServiceSettings, readEnvironment } from '@knowalledge/service-kit'
import { type Static, Type } from 'typebox'

export const settings = Type.Object(geminiServiceSettings(5003))
export type Config = Readonly<Static<typeof settings>>

/** The only place where this service reads its environment. Throws EnvironmentError naming every fault. */
export function loadConfig(env: Environment = process.env): Config {
  return readEnvironment(settings, env)
}
