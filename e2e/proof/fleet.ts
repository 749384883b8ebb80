import {
  type FaultProxy,
  faultProxyForTest,
  freePort,
  processForTest,
  redisServerForTest,
  type TestContext,
  type TestProcess,
  type TestRedisServer,
} from '@knowalledge/testing'
import type { Emulator } from './emulator.ts'
import { emulatorAt } from './emulator.ts'

export type Kind = 'gateway' | 'text-generation' | 'vision' | 'image-generation'

/** A place where a process is, or may be: its address stays, whatever becomes of the process. */
export interface Member {
  readonly name: string
  readonly kind: Kind
  readonly url: string
  process: TestProcess | undefined
  /** What the processes that were here before wrote, and whether each was cut off in the middle. */
  readonly past: { output: string; killed: boolean }[]
  /** From when to when a process here was being SIGKILLed, in milliseconds since the epoch. */
  readonly kills: { fromMs: number; untilMs: number }[]
}

export interface FleetOptions {
  /** For every process of ours; and for the emulator. */
  env: Record<string, string>
  emulatorEnv: Record<string, string>
  /** Of each kind, running from the start. */
  instances: Record<Kind, number>
  /** Of each kind, known to the gateways and not running yet. Default none. */
  spares?: number
  /** Put a proxy before Redis that can do what networks do. Default no: it costs time in this process. */
  breakableRedis?: boolean
}

const files: Record<Kind, string> = {
  gateway: 'gateway/src/server.ts',
  'text-generation': 'services/text-generation/src/server.ts',
  vision: 'services/vision/src/server.ts',
  'image-generation': 'services/image-generation/src/server.ts',
}
const kinds = Object.keys(files) as Kind[]

/** The whole system as separate processes, seen only through HTTP, environment and signals; and what can be done to it. */
export class Fleet {
  readonly members: readonly Member[]
  readonly redis: TestRedisServer
  readonly network: FaultProxy | undefined
  readonly emulator: Emulator
  readonly #t: TestContext
  readonly #env: Record<string, string>

  static async start(t: TestContext, options: FleetOptions): Promise<Fleet> {
    const redis = await redisServerForTest(t)
    const network = options.breakableRedis ? await faultProxyForTest(t, redis.port) : undefined
    const emulator = await processForTest(t, 'packages/gemini-emulator/src/server.ts', {
      readyPath: '/emulator/counters',
      env: { LOG_LEVEL: 'warn', ...options.emulatorEnv },
    })
    const members: Member[] = []
    for (const kind of kinds) {
      for (let n = 1; n <= options.instances[kind] + (options.spares ?? 0); n++) members.push(await place(kind, n))
    }
    const fleet = new Fleet(t, { redis, network, emulator, members, env: options.env })
    await Promise.all(
      kinds.flatMap((kind) => fleet.of(kind).slice(0, options.instances[kind])).map((member) => fleet.begin(member)),
    )
    return fleet
  }

  private constructor(
    t: TestContext,
    parts: {
      redis: TestRedisServer
      network: FaultProxy | undefined
      emulator: TestProcess
      members: Member[]
      env: Record<string, string>
    },
  ) {
    const { redis, network, emulator, members, env } = parts
    this.#t = t
    this.redis = redis
    this.network = network
    this.emulator = emulatorAt(emulator)
    this.members = members
    const urls = (kind: Kind) =>
      this.of(kind)
        .map(({ url }) => url)
        .join(',')
    this.#env = {
      REDIS_URL: `redis://127.0.0.1:${network?.port ?? redis.port}`,
      GEMINI_BASE_URL: emulator.url,
      GEMINI_API_KEY: 'proof-key',
      TEXT_GENERATION_URL: urls('text-generation'),
      VISION_URL: urls('vision'),
      IMAGE_GENERATION_URL: urls('image-generation'),
      LOG_LEVEL: 'warn',
      RATE_LIMIT_PER_MINUTE: '0',
      ...env,
    }
  }

  of(kind: Kind): Member[] {
    return this.members.filter((member) => member.kind === kind)
  }

  get running(): Member[] {
    return this.members.filter(({ process }) => process !== undefined)
  }

  /** Starts a process at this place; resolves when it answers. */
  async begin(member: Member): Promise<void> {
    const port = Number(new URL(member.url).port)
    member.process = await processForTest(this.#t, files[member.kind], { env: this.#env, port })
  }

  /** Ends the process there, if there is one, and says how it ended: SIGKILL at once, SIGTERM after it has finished what it has in hand. */
  async end(member: Member, signal: 'SIGKILL' | 'SIGTERM'): Promise<number | NodeJS.Signals | null> {
    const { process } = member
    if (process === undefined) return null
    const kill = { fromMs: Date.now(), untilMs: Infinity } // until then the kernel may still take connections for it
    if (signal === 'SIGKILL') member.kills.push(kill)
    const how = await process.stop(signal)
    kill.untilMs = Date.now()
    member.process = undefined
    member.past.push({ output: process.output(), killed: signal === 'SIGKILL' })
    return how
  }

  /** Everything that was ever written by a process at this place. */
  outputs(member: Member): { output: string; killed: boolean }[] {
    return [...member.past, ...(member.process ? [{ output: member.process.output(), killed: false }] : [])]
  }
}

async function place(kind: Kind, n: number): Promise<Member> {
  const url = `http://127.0.0.1:${await freePort()}`
  return { name: `${kind} ${n}`, kind, url, process: undefined, past: [], kills: [] }
}
