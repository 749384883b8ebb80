import { type ServiceConfig, serviceFaults, serviceSettings } from '@knowalledge/generation'
import { type Environment, readEnvironment } from '@knowalledge/service-kit'

export const settings = serviceSettings(5001)

/** The only place where this service reads its environment. Throws EnvironmentError naming every fault. */
export function loadConfig(env: Environment = process.env): ServiceConfig {
  return readEnvironment(settings, env, serviceFaults)
}
