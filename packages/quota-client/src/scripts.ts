import { readFileSync } from 'node:fs'
import type { Cluster, Redis } from 'ioredis'
import { type FleetState, readFleetState, stateBytes } from './fleet-state.ts'

export interface Reply {
  /** Redis's time at the decision, in milliseconds since the epoch. */
  nowMs: number
  /** False when nothing was done because this instance must first report what it used. */
  decided: boolean
  /** Null when there is no state, and nobody made one. */
  state: FleetState | null
  /** The tenant's account after a tenant's reservation. */
  tenant: FleetState | null
  /** What the script says beyond the accounts, as doubles. */
  rest: Float64Array
}

export interface Corrections {
  buckets: string
  days: string
}

/** Names a connection that may resend commands, and numbers its corrections; empty for one that does not. */
export interface Once {
  id: string
  number: number
}

interface Basis {
  epoch: number
  windowMs: number
  dayEnds: string
}

export interface ReserveCall extends Basis {
  seen: number
  limits: string
  tenant: { key: string; limits: string; corrections: Corrections } | undefined
  safetyMargin: number
  runs: string
  requests: number
  tokens: number
  /** End of the last pause whose probe was served; negative, how long others have to wait for a probe that is out. */
  passedMs: number
  fairPart: string
  corrections: Corrections
  once: Once
}

export interface ReportCall extends Basis {
  id: string
  birth: number
  seen: number
  heardByMs: number
  instances: number
  lastDay: string
  usedBefore: string
  usedAlone: Corrections
  pause: { untilMs: number; kind: number }
}

export interface AttendCall {
  id: string
  epoch: number
  seen: number
  goneAfterMs: number
  hungryForMs: number
  hungryUse: string
}

const keysOf = { Reserve: 3, Settle: 2, Report: 3, 'Report-Tenant': 2, Attend: 3, Pause: 1, Usage: 1 } as const
type ScriptName = keyof typeof keysOf
const head = 24
const lastCall = 2 ** 31

/** The only place that registers and calls the scripts of lua/. Every call rejects when Redis fails or answers another call. */
export class Scripts {
  readonly #redis: Redis | Cluster
  readonly #pool: string
  #call = 0

  constructor(redis: Redis | Cluster, pool: { name: string; windowMs: number }) {
    this.#redis = redis
    this.#pool = `quota:{${pool.name}}:${pool.windowMs}`
    for (const [name, numberOfKeys] of Object.entries(keysOf))
      redis.defineCommand(commandName(name), { lua: luaOf(name), numberOfKeys })
  }

  tenantKey(id: string): string {
    return `${this.#pool}:tenant:${id}`
  }

  reserve(ask: ReserveCall): Promise<Reply> {
    const { tenant, corrections, once } = ask
    const keys = [this.#pool, `${this.#pool}:once`, tenant?.key ?? this.#pool]
    const args = [
      ask.epoch,
      ask.seen,
      ask.windowMs,
      ask.dayEnds,
      ask.limits,
      tenant?.limits ?? '',
      ask.safetyMargin,
      ask.runs,
      ask.requests,
      ask.tokens,
      ask.passedMs,
      ask.fairPart,
      corrections.buckets,
      corrections.days,
      tenant?.corrections.buckets ?? '',
      tenant?.corrections.days ?? '',
      once.id,
      once.number,
    ]
    return this.#run('Reserve', keys, args, tenant !== undefined)
  }

  /** Corrects the pool's account, or, with `tenantKey`, that tenant's, whose epoch is the birth of the pool's state. */
  settle(ask: Basis & { tenantKey: string | undefined; corrections: Corrections; once: Once }): Promise<Reply> {
    const { corrections, once } = ask
    return this.#run(
      'Settle',
      [ask.tenantKey ?? this.#pool, `${this.#pool}:once`],
      [ask.epoch, ask.windowMs, ask.dayEnds, corrections.buckets, corrections.days, once.id, once.number],
    )
  }

  report(ask: ReportCall): Promise<Reply> {
    return this.#run(
      'Report',
      [this.#pool, `${this.#pool}:instances`, `${this.#pool}:reported`],
      [
        ask.id,
        ask.windowMs,
        ask.dayEnds,
        ask.birth,
        ask.epoch,
        ask.seen,
        ask.heardByMs,
        ask.instances,
        ask.lastDay,
        ask.usedBefore,
        ask.usedAlone.buckets,
        ask.usedAlone.days,
        ask.pause.untilMs,
        ask.pause.kind,
      ],
    )
  }

  reportTenant(ask: Omit<Basis, 'epoch'> & { tenantKey: string; used: Corrections }): Promise<Reply> {
    const { windowMs, dayEnds, used } = ask
    return this.#run('Report-Tenant', [this.#pool, ask.tenantKey], [windowMs, dayEnds, used.buckets, used.days])
  }

  attend(ask: AttendCall): Promise<Reply> {
    return this.#run(
      'Attend',
      [this.#pool, `${this.#pool}:instances`, `${this.#pool}:hungry`],
      [ask.id, ask.epoch, ask.seen, ask.goneAfterMs, ask.hungryForMs, ask.hungryUse],
    )
  }

  pause(ask: Omit<Basis, 'epoch'> & { kind: number; untilMs: number }): Promise<Reply> {
    return this.#run('Pause', [this.#pool], [ask.windowMs, ask.dayEnds, ask.kind, ask.untilMs])
  }

  usage(ask: Omit<Basis, 'epoch'>): Promise<Reply> {
    return this.#run('Usage', [this.#pool], [ask.windowMs, ask.dayEnds])
  }

  async #run(name: ScriptName, keys: string[], args: (string | number)[], withTenant = false): Promise<Reply> {
    this.#call = (this.#call % lastCall) + 1
    const call = this.#call
    const commands = this.#redis as unknown as Record<string, (...args: (string | number)[]) => Promise<unknown>>
    const answer = await commands[`${commandName(name)}Buffer`]?.(...keys, call, ...args)
    if (!Buffer.isBuffer(answer) || answer.length < head + stateBytes || answer.readDoubleLE(0) !== call)
      throw new Error(`Redis's answer is not that of call ${call} of ${name}`)
    return readReply(answer, withTenant)
  }
}

function readReply(answer: Buffer, withTenant: boolean): Reply {
  const decided = answer.readDoubleLE(16) === 0
  const from = head + stateBytes * (withTenant && decided ? 2 : 1)
  const rest = new Float64Array((answer.length - from) / 8)
  for (let at = 0; at < rest.length; at++) rest[at] = answer.readDoubleLE(from + at * 8)
  return {
    nowMs: answer.readDoubleLE(8),
    decided,
    state: readFleetState(answer, head),
    tenant: withTenant && decided ? readFleetState(answer, head + stateBytes) : null,
    rest,
  }
}

function commandName(script: string): string {
  return `knowalledgeQuota${script.replace('-', '')}`
}

function luaOf(script: string): string {
  const read = (file: string) => readFileSync(new URL(`../lua/${file}.lua`, import.meta.url), 'utf8')
  return read('account') + read(script.toLowerCase())
}
