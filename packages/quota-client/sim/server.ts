import { keyNames } from '../src/redis/script.ts'
import { type Argument, instrument, type RealRedis } from './real-redis.ts'
import type { VirtualTime } from './virtual-time.ts'

export interface Executed {
  /** Counts the executions of one simulation. */
  order: number
  /** True time. */
  atMs: number
  redisMs: number
}

export interface Answer {
  executed: Executed
  reply: Buffer | undefined
  error: Error | undefined
}

/** What the server needs of a connection. */
export interface Connected {
  cut(): void
}

/**
 * The Redis process of one simulation: its faults and its clock are simulated, its scripts are carried out by a real Redis
 * in a key of their own. A master has a new replication ID when it starts and each time it is promoted.
 */
export class VirtualRedis {
  readonly connections = new Set<Connected>()
  readonly #time: VirtualTime
  readonly #real: RealRedis
  readonly #sha: string
  readonly #key: string
  /** The state, and the waiting lines. */
  readonly #keys: string[]
  readonly #snapshots = new Map<string, (Buffer | null)[]>()
  readonly #waiting: (() => Promise<void> | void)[] = []
  readonly #epochMs: number
  #order = 0
  #clock = { atMs: 0, readsMs: 0, rate: 1 }
  #isUp = true
  #isHung = false
  #promotions = 0
  /** An error, like 'OOM …', with which Redis refuses each write; empty: none. */
  refusal = ''

  static async load(real: RealRedis, script: string): Promise<string> {
    return String(await real.command('SCRIPT', 'LOAD', instrument(script)))
  }

  constructor(options: {
    time: VirtualTime
    real: RealRedis
    sha: string
    key: string
    epochMs: number
  }) {
    this.#time = options.time
    this.#real = options.real
    this.#sha = options.sha
    this.#key = options.key
    this.#keys = keyNames.map((name) => options.key + name)
    this.#epochMs = options.epochMs
    this.promote()
  }

  get isUp(): boolean {
    return this.#isUp
  }

  get isHung(): boolean {
    return this.#isHung
  }

  clockMs(): number {
    const { atMs, readsMs, rate } = this.#clock
    return this.#epochMs + readsMs + (this.#time.nowMs - atMs) * rate
  }

  /** How far the clock is ahead of true time. */
  clockAheadMs(): number {
    return this.clockMs() - this.#epochMs - this.#time.nowMs
  }

  stepClock(ms: number): void {
    this.#clock = { atMs: this.#time.nowMs, readsMs: this.clockMs() - this.#epochMs + ms, rate: this.#clock.rate }
  }

  driftClock(share: number): void {
    this.stepClock(0)
    this.#clock.rate = 1 + share
  }

  /** From now on another process answers, or the same one has become a master again. */
  promote(): void {
    this.#promotions += 1
  }

  /** A request has arrived. `answer` is called when it was carried out, which it never is when the process dies before. */
  async arrive(args: readonly Argument[], answer: (answer: Answer) => void): Promise<void> {
    if (!this.#isUp) return
    const work = async () => answer(await this.#execute(args))
    if (this.#isHung) this.#waiting.push(work)
    else await work()
  }

  /** Calls back when the process answers a new connection. */
  handshake(done: () => void): void {
    if (this.#isHung) this.#waiting.push(done)
    else done()
  }

  hang(): void {
    this.#isHung = true
  }

  async continue(): Promise<void> {
    this.#isHung = false
    while (!this.#isHung && this.#waiting.length > 0) await this.#waiting.shift()?.()
  }

  die(): void {
    this.#isUp = false
    this.#isHung = false
    this.#waiting.length = 0
    for (const connection of [...this.connections]) connection.cut()
  }

  start(): void {
    this.#isUp = true
  }

  /** Loses the keys of these names, or all. */
  async lose(names: readonly string[] = keyNames): Promise<void> {
    await this.#real.command('DEL', ...names.map((name) => this.#key + name))
  }

  async save(name: string): Promise<void> {
    const dumps = await Promise.all(this.#keys.map((key) => this.#real.command('DUMP', key)))
    this.#snapshots.set(
      name,
      dumps.map((dump) => (Buffer.isBuffer(dump) ? Buffer.from(dump) : null)),
    )
  }

  async restore(name: string): Promise<void> {
    await this.lose()
    const dumps = this.#snapshots.get(name)
    if (dumps === undefined) throw new Error(`there is no snapshot ${name}`)
    for (const [at, key] of this.#keys.entries()) {
      const dump = dumps[at]
      if (dump) await this.#real.command('RESTORE', key, '0', dump)
    }
  }

  async #execute(args: readonly Argument[]): Promise<Answer> {
    const redisUs = Math.round(this.clockMs() * 1000)
    const executed = { order: this.#order++, atMs: this.#time.nowMs, redisMs: redisUs / 1000 }
    const info = `role:master\r\nmaster_replid:${String(this.#promotions).padStart(40, '0')}\r\nmaster_replid2:0\r\n`
    const keys = [...this.#keys, redisUs, info, this.refusal]
    try {
      const reply = await this.#real.command('EVALSHA', this.#sha, keys.length, ...keys, ...args)
      if (!Buffer.isBuffer(reply)) throw new Error(`the script replied ${reply}`)
      return { executed, reply, error: undefined }
    } catch (error) {
      return { executed, reply: undefined, error: error as Error }
    }
  }
}
