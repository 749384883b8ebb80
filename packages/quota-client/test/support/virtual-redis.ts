import { EventEmitter } from 'node:events'
import type { Redis } from 'ioredis'
import type { Test } from 'tap'
import { createQuotaClient, type QuotaClient, type QuotaClientOptions } from '../../src/index.ts'
import { scriptText } from '../../src/redis/layout.ts'
import { keyNames } from '../../src/redis/script.ts'
import { roomy } from './requests.ts'
import { type VirtualRuntime, VirtualTime } from './virtual-runtime.ts'

type Argument = string | number
type Command = (...args: Argument[]) => Promise<Buffer>
/** What becomes of calls: `unreachable` ones fail, as do refused ones, `lose-replies` carries them out, `hang` carries them out later. */
type Fault = 'none' | 'unreachable' | 'lose-replies' | 'hang' | 'OOM command not allowed'

let pools = 0

/** Instances of one pool, over a real Redis whose clock and replication ID are the test's. */
export class VirtualPool {
  readonly time: VirtualTime
  readonly key: string
  /** How far Redis's clock was set ahead of the true time. */
  clockAheadMs = 0
  /** By how much it runs faster: 0.01 is 1 %. */
  clockDrift = 0
  replicationId = 'first'
  fault: Fault = 'none'
  /** Connections whose calls fail. */
  readonly cutOff = new Set<Redis>()
  /** What instances sent, in their order. */
  readonly calls: Argument[][] = []
  readonly #redis: Redis
  readonly #name: string
  readonly #startMs: number
  readonly #test: Test
  readonly #hung: (() => void)[] = []

  constructor(t: Test, redis: Redis, start = '2037-07-01T12:00:00Z') {
    this.#test = t
    this.#redis = redis
    this.#name = `virtual-${pools++}`
    this.key = `quota:{${this.#name}}`
    this.time = new VirtualTime(start)
    this.#startMs = this.time.nowMs
    redis.defineCommand('scriptOfTest', { lua: instrumented(), numberOfKeys: keyNames.length + 2 })
  }

  /** An instance, closed with the test. */
  instance(options: Partial<QuotaClientOptions> = {}, runtime: VirtualRuntime = this.time.runtime()): QuotaClient {
    const redis = this.connection()
    const quota = createQuotaClient({ redis, pool: this.#name, limits: roomy, ...options }, runtime)
    this.#test.teardown(() => this.time.until(quota.close()).catch(() => {}))
    return quota
  }

  /** One that has joined a pool that is open. */
  async servingInstance(options: Partial<QuotaClientOptions> = {}, runtime?: VirtualRuntime): Promise<QuotaClient> {
    const quota = this.instance({ newPool: 'open', ...options }, runtime)
    await this.time.settle()
    for (let heartbeats = 0; quota.health().state === 'joining'; heartbeats++) {
      if (heartbeats > 5) throw new Error(`still joining: ${JSON.stringify(quota.health())}`)
      await this.time.pass(1000)
    }
    return quota
  }

  /** The part of ioredis that the client uses. */
  connection(): Redis {
    const connection: Redis = Object.assign(new EventEmitter(), {
      status: 'ready',
      options: { autoResendUnfulfilledCommands: false },
      defineCommand() {},
      disconnect() {},
      knowalledgeQuotaBuffer: (...args: Argument[]) => this.#call(connection, args.slice(keyNames.length)),
    }) as unknown as Redis
    return connection
  }

  /** Carries a call out, now, as Redis does. */
  execute(args: Argument[]): Promise<Buffer> {
    const { scriptOfTestBuffer } = this.#redis as unknown as { scriptOfTestBuffer: Command }
    const aheadMs = this.clockAheadMs + (this.time.nowMs - this.#startMs) * this.clockDrift
    const clockUs = Math.round((this.time.nowMs + aheadMs) * 1000)
    const info = `master_replid:${this.replicationId.padEnd(40, '0')}\r\n`
    const call = scriptOfTestBuffer.call(
      this.#redis,
      ...keyNames.map((name) => this.key + name),
      clockUs,
      info,
      ...args,
    )
    return this.time.outside(call)
  }

  /** Ends `hang`. */
  async resume(): Promise<void> {
    this.fault = 'none'
    for (const call of this.#hung.splice(0)) call()
    await this.time.settle()
  }

  /** Redis restarts with all of its data, or a replica with all of it takes its place. */
  async restart(): Promise<void> {
    this.replicationId += 'x'
  }

  /** All of Redis's data is lost. */
  async lose(names: readonly string[] = keyNames): Promise<void> {
    await this.#redis.del(names.map((name) => this.key + name))
  }

  async snapshot(names: readonly string[] = ['']): Promise<() => Promise<void>> {
    const keys = names.map((name) => this.key + name)
    const dumps = await Promise.all(keys.map((key) => this.#redis.dumpBuffer(key)))
    return async () => {
      for (const [at, dump] of dumps.entries())
        if (dump) await this.#redis.restore(keys[at] as string, 0, dump, 'REPLACE')
    }
  }

  async #call(connection: Redis, args: Argument[]): Promise<Buffer> {
    this.calls.push(args)
    if (this.fault === 'unreachable' || this.cutOff.has(connection)) throw new Error('Connection is closed.')
    if (this.fault.startsWith('OOM')) throw new Error(this.fault)
    if (this.fault === 'hang') await new Promise<void>((resolve) => this.#hung.push(resolve))
    const isLost = this.fault === 'lose-replies'
    const reply = await this.execute(args)
    return isLost ? new Promise(() => {}) : reply
  }
}

/** The script with its two reads of the outside replaced by further keys. */
function instrumented(): string {
  const replacements = [
    ["redis.call('TIME')", '{ 0, KEYS[5] }'],
    ["redis.call('INFO', 'replication')", 'KEYS[6]'],
  ] as const
  return replacements.reduce((lua, [read, key]) => {
    const parts = lua.split(read)
    if (parts.length !== 2) throw new Error(`the script has ${read} ${parts.length - 1} times instead of once`)
    return parts.join(key)
  }, scriptText())
}
