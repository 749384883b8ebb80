import { createQuotaClient } from '../src/index.ts'
import type { Hold, QuotaClient, QuotaClientOptions } from '../src/types.ts'
import { cleanLink, type Link, type SentCall, VirtualConnection } from './network.ts'
import type { VirtualProcess } from './process.ts'
import type { Random } from './random.ts'
import { lengths, type MemberConfiguration } from './schedule.ts'
import type { Answer, VirtualRedis } from './server.ts'

export interface MemberOptions {
  name: string
  pool: string
  configuration: MemberConfiguration
  process: VirtualProcess
  server: VirtualRedis
  random: Random
  /** True only for the instance that makes the pool's first state, before a schedule begins. */
  opensPool?: boolean
  onExecuted: (member: Member, call: SentCall, answer: Answer) => void
  onHold: (member: Member, hold: Hold) => void
}

/** One instance: a process, its link to Redis and the real client. */
export class Member {
  readonly name: string
  readonly configuration: MemberConfiguration
  readonly process: VirtualProcess
  readonly connection: VirtualConnection
  readonly quota: QuotaClient
  readonly link: Link = { ...cleanLink }
  /** When something last went wrong with it or its link, in true time. */
  troubledMs: number
  /** Faults of it or its link that last. */
  troubles = 0
  isClosing = false

  constructor(options: MemberOptions) {
    const { name, process, configuration } = options
    this.name = name
    this.configuration = configuration
    this.process = process
    this.troubledMs = process.time.nowMs
    this.connection = new VirtualConnection(
      {
        process,
        server: options.server,
        random: options.random.fork('network'),
        onExecuted: (call, answer) => options.onExecuted(this, call, answer),
      },
      this.link,
    )
    const settings = {
      // Stands in for ioredis, of which it has the part that the client uses.
      redis: this.connection as unknown as NonNullable<QuotaClientOptions['redis']>,
      pool: options.pool,
      newPool: options.opensPool ? 'open' : 'hold',
      onHold: (hold: Hold) => options.onHold(this, hold),
      ...configuration,
    } satisfies QuotaClientOptions
    this.quota = createQuotaClient(settings, process)
  }

  get isAlive(): boolean {
    return !this.process.isDead && !this.isClosing
  }

  /** It would see a step of a clock: connected, undisturbed, and for longer than two heartbeats. */
  watchesClock(nowMs: number): boolean {
    const { heartbeatMs } = lengths(this.configuration)
    return (
      this.isAlive &&
      this.process.isRunning &&
      this.connection.status === 'ready' &&
      this.troubles === 0 &&
      nowMs - this.troubledMs >= 3.5 * heartbeatMs
    )
  }

  crash(): void {
    this.process.kill()
    this.connection.disconnect()
  }

  /** SIGTERM: what was begun is finished, nothing new is begun. */
  async close(): Promise<void> {
    this.isClosing = true
    await this.quota.close()
    this.connection.disconnect()
    this.process.kill()
  }
}
