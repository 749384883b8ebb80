import { readFileSync } from 'node:fs'
import type { Cluster, Redis } from 'ioredis'
import { type FleetState, readFleetState, stateBytes } from './fleet-state.ts'
import type { RedisClock } from './redis-clock.ts'

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

/** Corrections and runs are texts that a ledger and a group write and lua/reserve.lua describes. */
export interface ReserveCall {
  epoch: number
  seen: number
  /** The window, the margin, the limits and the ends of the days, in the order that lua/reserve.lua gives. */
  terms: string
  tenant: { key: string; limits: string; corrections: string } | undefined
  hasBatch: boolean
  runs: string
  requests: number
  tokens: number
  /** End of the last pause whose probe was served; negative, how long others have to wait for a probe that is out. */
  passedMs: number
  fairPart: string
  corrections: string
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
  usedAlone: string
  pause: { untilMs: number; kind: number }
  /** Redis's time just before. */
  saidAtMs: number
  /** After so long the script refuses: the caller waits no more. */
  lateAfterMs: number
  /** How long a state that a newcomer makes is held for those who knew another one. */
  newcomersWaitMs: number
}

export interface AttendCall {
  id: string
  epoch: number
  seen: number
  goneAfterMs: number
  hungryForMs: number
  hungryUse: string
  /** Redis's time now, as far as the caller knows; 0 when it does not. */
  saidAtMs: number
}

const scriptNames = ['reserve', 'settle', 'report', 'report-tenant', 'attend', 'pause', 'usage'] as const
type ScriptName = (typeof scriptNames)[number]
type Commands = Record<string, (...args: (string | number)[]) => Promise<unknown>>

/** defineCommand's names for the commands that answer with a Buffer. */
const bufferCommands = Object.fromEntries(scriptNames.map((name) => [name, `${commandName(name)}Buffer`])) as Record<
  ScriptName,
  string
>
const head = 24
const lastCall = 2 ** 31

/** The only place that registers and calls the scripts of lua/. Every answer sets the clock; every call rejects when Redis fails or answers another call. */
export class Scripts {
  readonly #commands: Commands
  readonly #pool: string
  readonly #clock: RedisClock
  readonly #elapsed: () => number
  #call = 0

  constructor(
    redis: Redis | Cluster,
    pool: { name: string; windowMs: number; clock: RedisClock; elapsed: () => number },
  ) {
    this.#commands = redis as unknown as Commands
    this.#clock = pool.clock
    this.#elapsed = pool.elapsed
    this.#pool = `quota:{${pool.name}}:${pool.windowMs}`
    for (const name of scriptNames) redis.defineCommand(commandName(name), { lua: luaOf(name) })
  }

  tenantKey(id: string): string {
    return `${this.#pool}:tenant:${id}`
  }

  reserve(ask: ReserveCall): Promise<Reply> {
    const { tenant, once } = ask
    const plain = tenant === undefined && ask.passedMs >= 0 && ask.fairPart === '' && once.id === ''
    const call = this.#nextCall()
    const flags = `${plain ? 1 : 0},${ask.hasBatch ? 1 : 0}`
    const question = `${call},${flags},${ask.epoch},${ask.seen},${ask.requests},${ask.tokens},${ask.passedMs}`
    const args = [question, ask.terms, ask.runs, ask.corrections]
    if (plain) return this.#answer('reserve', [1, this.#pool, ...args], { call, withTenant: false })
    args.push(ask.fairPart, tenant?.limits ?? '', tenant?.corrections ?? '', once.id, String(once.number))
    const keys = [3, this.#pool, `${this.#pool}:once`, tenant?.key ?? this.#pool]
    return this.#answer('reserve', [...keys, ...args], { call, withTenant: tenant !== undefined })
  }

  /** Corrects the pool's account, or, with `tenantKey`, that tenant's, whose epoch is the birth of the pool's state. */
  settle(ask: Basis & { tenantKey: string | undefined; corrections: string; once: Once }): Promise<Reply> {
    const { corrections, once } = ask
    return this.#run(
      'settle',
      [ask.tenantKey ?? this.#pool, `${this.#pool}:once`],
      [ask.epoch, ask.windowMs, ask.dayEnds, corrections, once.id, once.number],
    )
  }

  report(ask: ReportCall): Promise<Reply> {
    return this.#run(
      'report',
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
        ask.usedAlone,
        ask.pause.untilMs,
        ask.pause.kind,
        ask.saidAtMs,
        ask.lateAfterMs,
        ask.newcomersWaitMs,
      ],
    )
  }

  reportTenant(ask: Omit<Basis, 'epoch'> & { tenantKey: string; used: string }): Promise<Reply> {
    const { windowMs, dayEnds, used } = ask
    return this.#run('report-tenant', [this.#pool, ask.tenantKey], [windowMs, dayEnds, used])
  }

  attend(ask: AttendCall): Promise<Reply> {
    return this.#run(
      'attend',
      [this.#pool, `${this.#pool}:instances`, `${this.#pool}:hungry`],
      [ask.id, ask.epoch, ask.seen, ask.goneAfterMs, ask.hungryForMs, ask.hungryUse, ask.saidAtMs],
    )
  }

  pause(ask: Omit<Basis, 'epoch'> & { kind: number; untilMs: number }): Promise<Reply> {
    return this.#run('pause', [this.#pool], [ask.windowMs, ask.dayEnds, ask.kind, ask.untilMs])
  }

  usage(ask: Omit<Basis, 'epoch'>): Promise<Reply> {
    return this.#run('usage', [this.#pool], [ask.windowMs, ask.dayEnds])
  }

  #run(name: ScriptName, keys: string[], args: (string | number)[]): Promise<Reply> {
    const call = this.#nextCall()
    return this.#answer(name, [keys.length, ...keys, call, ...args], { call, withTenant: false })
  }

  async #answer(
    name: ScriptName,
    args: (string | number)[],
    { call, withTenant }: { call: number; withTenant: boolean },
  ): Promise<Reply> {
    const askedAt = this.#elapsed()
    const answer = await this.#commands[bufferCommands[name]]?.(...args)
    if (!Buffer.isBuffer(answer) || answer.length < head + stateBytes || answer.readDoubleLE(0) !== call)
      throw new Error(`Redis's answer is not that of call ${call} of ${name}`)
    const reply = readReply(answer, withTenant)
    this.#clock.learn(reply.nowMs, askedAt)
    return reply
  }

  #nextCall(): number {
    this.#call = (this.#call % lastCall) + 1
    return this.#call
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

function commandName(script: ScriptName): string {
  return `knowalledgeQuota-${script}`
}

function luaOf(script: ScriptName): string {
  const files = script === 'reserve' ? ['reserve-hot', 'account', 'reserve'] : ['account', script]
  return files.map((file) => readFileSync(new URL(`../lua/${file}.lua`, import.meta.url), 'utf8')).join('')
}
