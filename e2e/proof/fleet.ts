import { freePort, processForTest, type TestContext, type TestProcess } from '@knowalledge/testing'
import { type Emulator, emulatorAt } from './emulator.ts'
import { FleetRedis } from './fleet-redis.ts'

export type Kind = 'gateway' | 'text-generation' | 'vision' | 'image-generation'

/** A place where a process is, or may be: its address stays, whatever becomes of the process. */
export interface Member {
  readonly name: string
  readonly kind: Kind
  readonly url: string
  process: TestProcess | undefined
  /** What the processes that were here before wrote, and whether each was cut off in the middle. */
  readonly past: { output: string; killed: boolean }[]
  /** When a process here was being SIGKILLed. */
  readonly kills: Span[]
}

/** In milliseconds since the epoch. */
export interface Span {
  fromMs: number
  untilMs: number
}

export interface FleetOptions {
  /** For every process of ours; and for the emulator. */
  env: Record<string, string>
  emulatorEnv: Record<string, string>
  /** Of each kind, running from the start. */
  instances: Record<Kind, number>
  /** Known to the gateways and not running yet. Default none. */
  spares?: Partial<Record<Kind, number>>
  /** Put a proxy before Redis for each process, which does what networks do. Default no: it costs time in this process. */
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
  readonly redis: FleetRedis
  readonly emulator: Emulator
  /** When all gateways were down on purpose. */
  readonly down: Span[] = []
  /** Settings that differ from those at the start, for processes that begin from now on. */
  changed: Record<string, string> = {}
  readonly #t: TestContext
  readonly #env: Record<string, string>

  static async start(t: TestContext, options: FleetOptions): Promise<Fleet> {
    const emulator = await processForTest(t, 'packages/gemini-emulator/src/server.ts', {
      readyPath: '/emulator/counters',
      env: { LOG_LEVEL: 'warn', ...options.emulatorEnv },
    })
    const members: Member[] = []
    for (const kind of kinds) {
      for (let n = 1; n <= options.instances[kind] + (options.spares?.[kind] ?? 0); n++)
        members.push(await place(kind, n))
    }
    const redis = await FleetRedis.start(t, options.breakableRedis ? members.map(({ name }) => name) : [])
    const fleet = new Fleet(t, { redis, emulator, members, env: options.env })
    await Promise.all(
      kinds.flatMap((kind) => fleet.of(kind).slice(0, options.instances[kind])).map((member) => fleet.begin(member)),
    )
    return fleet
  }

  private constructor(
    t: TestContext,
    parts: { redis: FleetRedis; emulator: TestProcess; members: Member[]; env: Record<string, string> },
  ) {
    const { redis, emulator, members, env } = parts
    this.#t = t
    this.redis = redis
    this.emulator = emulatorAt(emulator)
    this.members = members
    const urls = (kind: Kind) =>
      this.of(kind)
        .map(({ url }) => url)
        .join(',')
    this.#env = {
      GEMINI_BASE_URL: emulator.url,
      GEMINI_API_KEY: 'proof-key',
      TEXT_GENERATION_URL: urls('text-generation'),
      VISION_URL: urls('vision'),
      IMAGE_GENERATION_URL: urls('image-generation'),
      LOG_LEVEL: 'warn',
      RATE_LIMIT_PER_MINUTE: '0',
      MAX_IN_FLIGHT_PER_ADDRESS: '0',
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
    const env = { ...this.#env, ...this.changed, REDIS_URL: this.redis.urlFor(member.name) }
    member.process = await processForTest(this.#t, files[member.kind], { env, port })
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
