import type { QuotaLimits } from '@knowalledge/quota-client'

/** Whose part of the quota a call takes. */
export interface BudgetClient {
  /** Such as `tenant school-a`, `browser 3f…` or `address 192.0.2.1`. */
  id: string
  /** Of an anonymous client: all of one address together have a share, too. */
  address?: string | undefined
  /** A tenant with limits of its own is bounded by them alone; its calls count as those of others. */
  hasOwnLimits?: boolean | undefined
}

export interface Amount {
  requests: number
  tokens: number
}

/** What is taken, where and when: the same for both stores. */
export interface Take {
  client: BudgetClient
  amount: Amount
  /** The call waits in line, where clients take turns. */
  isInLine: boolean
  nowMs: number
  dayEndMs: number
}

export interface BudgetSettings {
  limits: QuotaLimits
  bucketMs: number
  sharePerDay: number
}

/** A use is forgotten between one window and one window and a bucket after it. */
export const bucketsPerWindow = 12

/** Requests and tokens by whose they are: of all, of a client (`c:…`) or of an address (`a:…`). */
type Use = Map<string, Amount>

interface LastAsked {
  name: string
  atMs: number
}

const none: Amount = { requests: 0, tokens: 0 }
const units = ['requests', 'tokens'] as const

/** lua/client-budget.lua for one process: the same rules in the same order. A test plays both the same and compares. */
export class MemoryBudget {
  readonly #settings: BudgetSettings
  readonly #limits: { window: Amount; day: Amount }
  readonly #buckets = new Map<number, Use>()
  #day: { endMs: number; use: Use } = { endMs: 0, use: new Map() }
  readonly #asked: Record<'client' | 'address', LastAsked[]> = { client: [], address: [] }

  constructor(settings: BudgetSettings) {
    this.#settings = settings
    const { rpm, tpm, rpd, tpd } = settings.limits
    this.#limits = { window: { requests: rpm, tokens: tpm }, day: { requests: rpd, tokens: tpd } }
  }

  /** Milliseconds to wait; 0 when it was taken. */
  take(take: Take): number {
    const { client, nowMs, dayEndMs } = take
    const { bucketMs } = this.#settings
    const newest = Math.floor(nowMs / bucketMs)
    for (const bucket of this.#buckets.keys()) if (bucket < newest - bucketsPerWindow) this.#buckets.delete(bucket)
    if (dayEndMs > this.#day.endMs) this.#day = { endMs: dayEndMs, use: new Map() }
    const othersUntilMs = this.#ask('client', client.id, nowMs)
    const elsewhereUntilMs = this.#ask('address', client.address ?? client.id, nowMs)
    if (!client.hasOwnLimits) {
      const leavingMs = Array.from({ length: bucketsPerWindow + 1 }, (_, n) => (newest + 1 + n) * bucketMs)
      const times = [nowMs, dayEndMs, othersUntilMs, elsewhereUntilMs, ...leavingMs].sort((a, b) => a - b)
      const may = (atMs: number) => atMs >= nowMs && this.#mayTake(take, { atMs, othersUntilMs, elsewhereUntilMs })
      const waitMs = (times.find(may) ?? dayEndMs) - nowMs
      if (waitMs > 0) return Math.ceil(waitMs)
    }
    this.#add(take, this.#bucket(newest))
    this.#add(take, this.#day.use)
    return 0
  }

  giveBack(take: Take): void {
    const bucket = this.#buckets.get(Math.floor(take.nowMs / this.#settings.bucketMs))
    if (bucket) this.#add(take, bucket)
    if (take.dayEndMs === this.#day.endMs) this.#add(take, this.#day.use)
  }

  #mayTake(
    { client, amount, isInLine }: Take,
    { atMs, othersUntilMs, elsewhereUntilMs }: { atMs: number; othersUntilMs: number; elsewhereUntilMs: number },
  ): boolean {
    const { sharePerDay } = this.#settings
    const ofDay = this.#usedOfDay(`c:${client.id}`, atMs)
    const isOverDay = units.some(
      (unit) => ofDay[unit] + amount[unit] > Math.max(1, Math.floor(sharePerDay * this.#limits.day[unit])),
    )
    if (isOverDay || isInLine) return !isOverDay
    if (atMs < othersUntilMs && !this.#fits(`c:${client.id}`, amount, { atMs, part: 0.5 })) return false
    if (client.address === undefined || atMs >= elsewhereUntilMs) return true
    return this.#fits(`a:${client.address}`, amount, { atMs, part: 0.75 })
  }

  #fits(whose: string, amount: Amount, { atMs, part }: { atMs: number; part: number }): boolean {
    const window = { mine: this.#usedOfWindow(whose, atMs), all: this.#usedOfWindow('all', atMs) }
    const day = { mine: this.#usedOfDay(whose, atMs), all: this.#usedOfDay('all', atMs) }
    if (window.mine.requests === 0 && amount.requests === 1) return true
    return Object.entries({ window, day }).every(([period, { mine, all }]) =>
      units.every((unit) => {
        const free = this.#limits[period as 'window' | 'day'][unit] - (all[unit] - mine[unit])
        return mine[unit] + amount[unit] <= Math.floor(part * free)
      }),
    )
  }

  #usedOfWindow(whose: string, atMs: number): Amount {
    const sum = { ...none }
    for (const [bucket, use] of this.#buckets) {
      if (atMs >= (bucket + bucketsPerWindow + 1) * this.#settings.bucketMs) continue
      for (const unit of units) sum[unit] += use.get(whose)?.[unit] ?? 0
    }
    return sum
  }

  #usedOfDay(whose: string, atMs: number): Amount {
    return (atMs < this.#day.endMs ? this.#day.use.get(whose) : undefined) ?? none
  }

  #add({ client, amount }: Take, use: Use): void {
    const names = ['all', `c:${client.id}`, ...(client.address === undefined ? [] : [`a:${client.address}`])]
    for (const name of names) {
      const used = use.get(name) ?? none
      use.set(name, { requests: used.requests + amount.requests, tokens: used.tokens + amount.tokens })
    }
  }

  #bucket(index: number): Use {
    const use = this.#buckets.get(index) ?? new Map()
    this.#buckets.set(index, use)
    return use
  }

  /** Until when others count as asking; notes that this one asks. */
  #ask(kind: 'client' | 'address', name: string, nowMs: number): number {
    const other = this.#asked[kind].find((last) => last.name !== name)
    this.#asked[kind] = [{ name, atMs: nowMs }, ...(other ? [other] : [])]
    return other ? other.atMs + bucketsPerWindow * this.#settings.bucketMs : 0
  }
}
