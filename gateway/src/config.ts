import { isIP } from 'node:net'
import { modelFaults, modelSettings } from '@knowalledge/generation/models'
import { poolFaults, poolSettings } from '@knowalledge/generation/pools'
import { quotaSettings } from '@knowalledge/generation/quota'
import { redisSettings } from '@knowalledge/redis-kit'
import { type Environment, readEnvironment, serverSettings, setting } from '@knowalledge/service-kit'
import { type Static, Type } from 'typebox'
import { admissionSettings } from './admission/settings.ts'
import { authFaults, authSettings } from './auth/settings.ts'

const serviceUrls = (description: string, port: number) =>
  Type.String({
    description: `${description}; a host name means all its addresses; several URLs are separated by commas`,
    default: `http://localhost:${port}`,
    pattern: '^\\s*https?://[^\\s,/]+\\s*(,\\s*https?://[^\\s,/]+\\s*)*$',
    expectation: 'http:// or https:// URLs without a path, separated by commas',
  })

export const settings = Type.Object({
  ...serverSettings(5000),
  TEXT_GENERATION_URL: serviceUrls('Where text-generation is', 5001),
  VISION_URL: serviceUrls('Where vision is', 5002),
  IMAGE_GENERATION_URL: serviceUrls('Where image-generation is', 5003),
  UPSTREAM_TIMEOUT_MS: setting.wholeNumber(
    'Timeout of one request to a service; longer than its MAX_WAIT_SECONDS and GEMINI_TIMEOUT_MS',
    {
      default: 65_000,
      minimum: 100,
      maximum: 660_000,
    },
  ),
  UPSTREAM_LOOKUP_MS: setting.wholeNumber(
    'How often the host names of services are looked up, for all their addresses; 0 never',
    { default: 2_000, minimum: 0, maximum: 60_000 },
  ),
  UPSTREAM_CHECK_MS: setting.wholeNumber('How often each instance is asked whether it is ready; 0 never', {
    default: 500,
    minimum: 0,
    maximum: 60_000,
  }),
  TRUST_PROXY: Type.Refine(
    Type.String({
      description: 'Whose X-Forwarded-For says who the client is: the proxies in front of the gateway',
      default: 'false',
      expectation:
        'false, a count of proxies, or addresses, CIDRs, loopback, linklocal, uniquelocal, separated by commas',
    }),
    (text) => readTrustProxy(text) !== undefined,
    () => 'not whose X-Forwarded-For is believed',
  ),
  ADMIN_TOKEN: Type.Optional(
    Type.String({
      description: 'Opens POST /api/admin/*; without it these routes do not exist',
      minLength: 16,
      expectation: 'at least 16 characters',
    }),
  ),
  ...admissionSettings,
  ...authSettings,
  ...redisSettings,
  ...quotaSettings,
  ...modelSettings,
  ...poolSettings,
})
export type Config = Readonly<Static<typeof settings>>

function configFaults(read: Partial<Config>, env: Environment): string[] {
  return [...authFaults(read, env), ...modelFaults(read), ...poolFaults(read)]
}

/** The only place where the gateway reads its environment. Throws EnvironmentError naming every fault. */
export function loadConfig(env: Environment = process.env): Config {
  return readEnvironment(settings, env, configFaults)
}

const keysSettings = Type.Object(redisSettings)

/** What the command line of keys reads: where Redis is. Throws EnvironmentError naming every fault. */
export function loadKeysConfig(env: Environment = process.env): Readonly<Static<typeof keysSettings>> {
  return readEnvironment(keysSettings, env, ({ REDIS_ENABLED }) =>
    REDIS_ENABLED === false ? ['REDIS_ENABLED=false: keys are kept in Redis; say where with REDIS_URL'] : [],
  )
}

/** Whose X-Forwarded-For is believed, as Fastify takes it: nobody's, these addresses', or whose a function says. */
export type TrustProxy = false | string[] | ((address: string, hop: number) => boolean)

const ranges = ['loopback', 'linklocal', 'uniquelocal']

/** `false`, a count of proxies, or addresses, CIDRs and named ranges separated by commas. Undefined for anything else. */
export function readTrustProxy(text: string): TrustProxy | undefined {
  if (text === 'false') return false
  // Fastify takes no count, as it would believe whoever connects: for where only the proxy can, such as in a cluster.
  if (/^\d{1,2}$/.test(text)) return (_address, hop) => hop < Number(text)
  const trusted = text.split(',').map((entry) => entry.trim())
  return trusted.every((entry) => ranges.includes(entry) || isAddresses(entry)) ? trusted : undefined
}

/** One address, or those of a CIDR; all there are (`/0`) are not a proxy's. */
function isAddresses(entry: string): boolean {
  const [address = '', bits, ...rest] = entry.split('/')
  const version = isIP(address)
  if (version === 0 || rest.length > 0) return false
  return bits === undefined || (/^[1-9]\d{0,2}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128))
}
