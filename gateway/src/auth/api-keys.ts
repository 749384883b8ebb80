import type { Tenant } from '@knowalledge/quota-client'
import type { Cluster, Redis } from 'ioredis'
import { digestOf, newSecret, publicIdOf } from './credentials.ts'

/** A key as it is kept: never the secret itself. */
export interface ApiKey {
  /** 16 hex digits: `sha256(key)` begins with them. */
  id: string
  /** SHA-256 of the key, in hex. */
  digest: string
  tenant: string
  name?: string
  createdAtMs: number
  expiresAtMs: number
}

/** A key that is valid now, with its tenant's own limits. */
export interface ValidKey extends Omit<ApiKey, 'tenant'> {
  tenant: Tenant
}

export type TenantLimits = Tenant['limits']
export const limitNames = ['rpm', 'rpd', 'tpm', 'tpd'] as const

export interface NewKey {
  tenant: string
  name?: string | undefined
  expiresAtMs: number
}

const keysName = 'gateway:keys'
/** What was done with keys, newest last. */
const auditName = 'gateway:audit'
const maxAudited = 10_000
const tenantName = (tenant: string) => `gateway:tenant:${tenant}`

/** API keys and tenants' limits in Redis: one hash of keys by public id, one of limits for each tenant. */
export class ApiKeys {
  readonly #redis: Redis | Cluster
  readonly #clock: () => number

  /** `clock`: milliseconds since the epoch, for expiry. */
  constructor({ redis, clock = Date.now }: { redis: Redis | Cluster; clock?: (() => number) | undefined }) {
    this.#redis = redis
    this.#clock = clock
  }

  /** Makes a key. `secret` is what its holder sends; it cannot be had again. */
  async create({ tenant, name, expiresAtMs }: NewKey): Promise<{ secret: string; key: ApiKey }> {
    const secret = `kae_${newSecret()}`
    const digest = digestOf(secret)
    const key: ApiKey = {
      id: publicIdOf(digest),
      digest,
      tenant,
      ...(name === undefined ? {} : { name }),
      createdAtMs: this.#clock(),
      expiresAtMs,
    }
    const isNew = await this.#redis.hsetnx(keysName, key.id, JSON.stringify(key))
    if (isNew !== 1) return await this.create({ tenant, name, expiresAtMs }) // the id was taken: one in 2⁶⁴
    await this.#audit({ action: 'create', key: key.id, tenant })
    return { secret, key }
  }

  /** The key of this id with its tenant's limits, unless it is unknown, revoked or expired. */
  async find(id: string): Promise<ValidKey | undefined> {
    const kept = await this.#redis.hget(keysName, id)
    if (kept === null) return undefined
    const key = JSON.parse(kept) as ApiKey
    if (this.hasExpired(key)) return undefined
    return { ...key, tenant: { id: key.tenant, limits: await this.limitsOf(key.tenant) } }
  }

  hasExpired({ expiresAtMs }: Pick<ApiKey, 'expiresAtMs'>): boolean {
    return this.#clock() >= expiresAtMs
  }

  /** All of them, the oldest first; expired ones too, until they are revoked. */
  async list(): Promise<ApiKey[]> {
    const kept = await this.#redis.hvals(keysName)
    return kept.map((json) => JSON.parse(json) as ApiKey).sort((a, b) => a.createdAtMs - b.createdAtMs)
  }

  /** False when there is no such key. */
  async revoke(id: string): Promise<boolean> {
    const isRevoked = (await this.#redis.hdel(keysName, id)) === 1
    if (isRevoked) await this.#audit({ action: 'revoke', key: id })
    return isRevoked
  }

  async limitsOf(tenant: string): Promise<TenantLimits> {
    const kept = await this.#redis.hgetall(tenantName(tenant))
    return Object.fromEntries(Object.entries(kept).map(([name, limit]) => [name, Number(limit)]))
  }

  /** Changes the limits that are named; `undefined` takes one away. They hold for all keys of the tenant. */
  async setLimits(tenant: string, limits: { [name in keyof TenantLimits]: number | undefined }): Promise<void> {
    const set = Object.entries(limits).filter(([, limit]) => limit !== undefined)
    const taken = Object.keys(limits).filter((name) => !set.some(([kept]) => kept === name))
    if (set.length > 0) await this.#redis.hset(tenantName(tenant), Object.fromEntries(set))
    if (taken.length > 0) await this.#redis.hdel(tenantName(tenant), ...taken)
    if (set.length + taken.length > 0) await this.#audit({ action: 'limits', tenant, limits: JSON.stringify(limits) })
  }

  /** Keys created and revoked and limits changed, the newest 10,000 or so, the oldest first. */
  async audit(): Promise<Record<string, string>[]> {
    const entries = await this.#redis.xrange(auditName, '-', '+')
    return entries.map(([, fields]) => {
      const pairs = fields.flatMap((name, at) => (at % 2 === 0 ? [[name, fields[at + 1] as string]] : []))
      return Object.fromEntries(pairs)
    })
  }

  async #audit(event: Record<string, string>): Promise<void> {
    const fields = Object.entries({ at: new Date(this.#clock()).toISOString(), ...event }).flat()
    await this.#redis.xadd(auditName, 'MAXLEN', '~', maxAudited, '*', ...fields)
  }
}
