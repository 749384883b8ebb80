import {
  createQuotaClient,
  type LimitType,
  type QuotaClient,
  type QuotaLimits,
  type Refused,
} from '@knowalledge/quota-client'
import type { RedisConnection, RedisFault } from '@knowalledge/redis-kit'
import { setting } from '@knowalledge/service-kit'
import { chainsOf, type ModelConfig, namesIn, repeated } from './models.ts'
import { largestLimits, type QuotaConfig, quotaOptions } from './quota.ts'

export const poolSettings = {
  QUOTA_SCOPE: setting.oneOf(
    ['project', 'model'],
    'project: one pool of quota for all models; model: each model has its own, as Google counts',
    { default: 'project' },
  ),
  QUOTA_MODEL_LIMITS: setting.optionalText(
    'With QUOTA_SCOPE=model: limits of models for which QUOTA_* do not hold, `model=RPM/RPD/TPM/TPD,…`; K and M are thousands and millions',
  ),
}

export type PoolConfig = QuotaConfig & ModelConfig & { QUOTA_SCOPE: 'project' | 'model'; QUOTA_MODEL_LIMITS?: string }

/** A pool of the configuration. */
export interface PoolPlan {
  /** The model's name, or QUOTA_POOL where all models share it. */
  name: string
  models: readonly string[]
  /** Names the pool in Redis. */
  key: string
  limits: QuotaLimits
}

/** A pool and its quota. */
export interface QuotaPool extends PoolPlan {
  quota: QuotaClient
}

/** The pools of a configuration without faults; that of the best text model is the first. */
export function planPools(config: PoolConfig): [PoolPlan, ...PoolPlan[]] {
  const { QUOTA_POOL, QUOTA_SCOPE, QUOTA_MODEL_LIMITS = '' } = config
  const limits = { rpm: config.QUOTA_RPM, rpd: config.QUOTA_RPD, tpm: config.QUOTA_TPM, tpd: config.QUOTA_TPD }
  const models = modelsOf(config)
  if (QUOTA_SCOPE === 'project') return [{ name: QUOTA_POOL, models, key: QUOTA_POOL, limits }]
  const own = new Map(entriesOf(QUOTA_MODEL_LIMITS).map(({ model, amounts }) => [model, limitsFrom(amounts)]))
  const planOf = (model: string): PoolPlan => {
    return { name: model, models: [model], key: keyOf(QUOTA_POOL, model), limits: own.get(model) ?? limits }
  }
  const [best] = chainsOf(config).text
  return [planOf(best), ...models.slice(1).map(planOf)]
}

/** `pools.map(work)`, which is not empty either. */
export function mapPools<T, U>([first, ...others]: readonly [T, ...T[]], work: (pool: T) => U): [U, ...U[]] {
  return [work(first), ...others.map(work)]
}

/** The quota with some methods of its own. (A client is an object with private fields, which a spread would lose.) */
export function withOwn(quota: QuotaClient, own: Partial<QuotaClient>): QuotaClient {
  return {
    reserve: (request) => quota.reserve(request),
    usage: () => quota.usage(),
    health: () => quota.health(),
    pause: (pause) => quota.pause(pause),
    close: () => quota.close(),
    ...own,
  }
}

interface OpenOptions {
  redis: RedisConnection | undefined
  /** An observer only reads. */
  role: 'member' | 'observer'
  /** By the name under which a fault is logged. */
  faultsOf: (part: string) => (fault: RedisFault) => void
  onHold?: Parameters<typeof createQuotaClient>[0]['onHold']
}

export interface OpenPools {
  pools: readonly [QuotaPool, ...QuotaPool[]]
  close(): Promise<void>
}

/** The quota of each pool. Throws a RangeError for outage budgets that do not fit a pool's limit. */
export function openPools(config: PoolConfig, { redis, role, faultsOf, onHold }: OpenOptions): OpenPools {
  const plans = planPools(config)
  const open = (plan: PoolPlan): QuotaPool => {
    const onFault = faultsOf(plans.length === 1 ? 'quota' : `quota of ${plan.name}`)
    const quota = createQuotaClient({ redis, ...quotaOptions(config, plan), role, onFault, ...(onHold && { onHold }) })
    return { ...plan, quota: guard ? guard.before(quota) : quota }
  }
  const guard = role === 'member' && config.QUOTA_SCOPE === 'model' && redis ? new ScopeGuard(config, redis) : undefined
  const pools = mapPools(plans, open)
  return {
    pools,
    async close() {
      await Promise.all([...pools.map(({ quota }) => quota.close()), guard?.close()])
    },
  }
}

/**
 * While the scope of a running fleet is switched, the same model must not be called on two accounts. The smallest limits of a
 * pool's members hold, so as one of them this instance shuts the project's pool, until a window after its own last call; and
 * it does not use the pools of models before all that the project's pool granted has left the window.
 */
class ScopeGuard {
  readonly #project: QuotaClient
  readonly #windowMs: number
  #isDrained = false

  constructor(config: PoolConfig, redis: RedisConnection) {
    const limits = { rpm: 1, rpd: 1, tpm: 1, tpd: 1 } // the least; a call takes more than one token
    const options = quotaOptions({ ...config, QUOTA_OUTAGE_RPM: 0 }, { key: config.QUOTA_POOL, limits })
    this.#project = createQuotaClient({ redis, ...options, lingers: true })
    this.#windowMs = config.QUOTA_WINDOW_MS
  }

  /** The quota of a model's pool, on hold until the project's pool is drained. */
  before(quota: QuotaClient): QuotaClient {
    const hold = { state: 'hold', cause: 'configuration', endsInMs: this.#windowMs } as const
    return withOwn(quota, {
      reserve: async (request) => (await this.#refusal()) ?? quota.reserve(request),
      health: () => {
        const health = quota.health()
        void this.#refusal() // never rejects; also where no call asks
        if (this.#isDrained || health.state !== 'serving') return health
        return this.#isMember() ? hold : { state: 'joining' }
      },
    })
  }

  close(): Promise<void> {
    return this.#project.close()
  }

  /** Once this instance is a member the project's pool grants nothing more. */
  #isMember(): boolean {
    return ['serving', 'hold'].includes(this.#project.health().state)
  }

  /** Undefined when the pools of models may be used. */
  async #refusal(): Promise<Refused | undefined> {
    if (this.#isDrained) return undefined
    const usage = await this.#project.usage()
    const isMember = this.#isMember() && !usage.degraded
    this.#isDrained = isMember && usage.requests.perMinute.current === 0
    if (this.#isDrained) return undefined
    const refused = { granted: false, degraded: false, limitType: 'rpm', limit: 0 } as const
    return isMember
      ? { ...refused, reason: 'hold', cause: 'configuration', retryAfterMs: this.#windowMs }
      : { ...refused, reason: 'unavailable', retryAfterMs: this.#windowMs / 30 }
  }
}

/** What is wrong with the pools' settings, one sentence each. */
export function poolFaults(config: Partial<PoolConfig>): string[] {
  const { QUOTA_POOL = '', QUOTA_SCOPE, QUOTA_MODEL_LIMITS: text } = config
  const { GEMINI_TEXT_MODEL, GEMINI_VISION_MODEL, GEMINI_IMAGE_MODEL } = config
  if (!GEMINI_TEXT_MODEL || !GEMINI_VISION_MODEL || !GEMINI_IMAGE_MODEL) return []
  const models = modelsOf({ GEMINI_TEXT_MODEL, GEMINI_VISION_MODEL, GEMINI_IMAGE_MODEL })
  if (QUOTA_SCOPE !== 'model')
    return text === undefined
      ? []
      : ['QUOTA_MODEL_LIMITS has an effect with QUOTA_SCOPE=model only: set that, or remove it']
  const unnameable = models
    .filter((model) => !/^[\w.:-]{1,64}$/.test(keyOf(QUOTA_POOL, model)))
    .map(
      (model) =>
        `QUOTA_SCOPE=model: the pool ${keyOf(QUOTA_POOL, model)} must have 1 to 64 letters, digits, dots, dashes or underscores`,
    )
  return [...unnameable, ...(text === undefined ? [] : limitFaults(text, models))]
}

function limitFaults(text: string, models: readonly string[]): string[] {
  const entries = entriesOf(text)
  const twice = repeated(entries.map(({ model }) => model)).map(
    (model) => `QUOTA_MODEL_LIMITS names ${model} twice: give each model one set of limits`,
  )
  return [...entries.flatMap((entry) => entryFaults(entry, models)), ...twice]
}

function entryFaults({ text, model, amounts }: Entry, models: readonly string[]): string[] {
  if (amounts.length !== limitNames.length)
    return [
      `QUOTA_MODEL_LIMITS: expected model=RPM/RPD/TPM/TPD, such as lite=30/3000/1M/50M, not ${JSON.stringify(text)}`,
    ]
  if (!models.includes(model))
    return [`QUOTA_MODEL_LIMITS names ${model}, which is none of the models: ${models.join(', ')}`]
  return limitNames.flatMap((name, at) => {
    const amount = amountOf(amounts[at] ?? '')
    if (amount >= 1 && amount <= largestLimits[name]) return []
    const expected = `expected a whole number from 1 to ${largestLimits[name]}, K and M for thousands and millions`
    return [`QUOTA_MODEL_LIMITS: ${name.toUpperCase()} of ${model} is ${JSON.stringify(amounts[at])}: ${expected}`]
  })
}

const limitNames = ['rpm', 'rpd', 'tpm', 'tpd'] as const satisfies LimitType[]

interface Entry {
  text: string
  model: string
  amounts: string[]
}

function entriesOf(text: string): Entry[] {
  if (text === '') return []
  return namesIn(text).map((entry) => {
    const at = entry.lastIndexOf('=')
    const amounts = at < 0 ? [] : entry.slice(at + 1).split('/')
    return {
      text: entry,
      model: entry.slice(0, Math.max(0, at)).trim(),
      amounts: amounts.map((amount) => amount.trim()),
    }
  })
}

function limitsFrom(amounts: readonly string[]): QuotaLimits {
  const [rpm = 0, rpd = 0, tpm = 0, tpd = 0] = amounts.map(amountOf)
  return { rpm, rpd, tpm, tpd }
}

/** `50M` is 50,000,000; NaN for what is no whole number. */
function amountOf(text: string): number {
  const { digits, unit = '' } = /^(?<digits>\d+)(?<unit>[KM]?)$/i.exec(text)?.groups ?? {}
  return Number(digits) * ({ k: 1e3, m: 1e6 }[unit.toLowerCase()] ?? 1)
}

function modelsOf(config: ModelConfig): string[] {
  return [...new Set(Object.values(chainsOf(config)).flat())]
}

function keyOf(pool: string, model: string): string {
  return `${pool}:${model}`
}
