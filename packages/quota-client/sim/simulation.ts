import { check } from './checks.ts'
import { begin, disturbs, snapshotBeforeMs, snapshotName, type World } from './faults.ts'
import { generateLoad } from './load.ts'
import { Member } from './member.ts'
import type { SentCall } from './network.ts'
import { Oracle } from './oracle.ts'
import type { Outcome } from './outcome.ts'
import { VirtualProcess } from './process.ts'
import { Random } from './random.ts'
import type { RealRedis } from './real-redis.ts'
import { describeFault } from './report.ts'
import { endOf, type Fault, lengths, type MemberConfiguration, type Schedule } from './schedule.ts'
import { type Answer, VirtualRedis } from './server.ts'
import { VirtualTime } from './virtual-time.ts'

/** A real Redis with the script, and a number for the next simulation's key. */
export interface Stage {
  real: RealRedis
  sha: string
  plays: number
}

const timeZone = 'America/Los_Angeles'
const dateFormat = new Intl.DateTimeFormat('en-CA', { timeZone, dateStyle: 'short' })
/** In which the pool's first state is made, before time 0 of the schedule. */
const preludeMs = 100

/** Runs one schedule from the first state of a pool to the end, and judges it. */
export async function simulate(schedule: Schedule, stage: Stage): Promise<Outcome> {
  const simulation = new Simulation(schedule, stage)
  await simulation.run()
  return simulation.outcome()
}

class Simulation implements World {
  readonly time = new VirtualTime()
  readonly members = new Map<string, Member>()
  readonly server: VirtualRedis
  readonly oracle: Oracle
  readonly #schedule: Schedule
  readonly #random: Random
  readonly #pool: string
  readonly #timeline: string[] = []
  #scriptCalls = 0
  #lastFaultMs = 0
  #serverTroubles = 0
  #serverTroubledMs = 0
  #watch: { member: string; untilMs: number } = { member: '', untilMs: 0 }

  constructor(schedule: Schedule, stage: Stage) {
    this.#schedule = schedule
    this.#random = new Random(`${schedule.kind} ${schedule.seed}`)
    this.#pool = `sim${stage.plays++}`
    this.oracle = new Oracle(schedule, this.time, (ms) => dateFormat.format(ms))
    this.server = new VirtualRedis({
      time: this.time,
      real: stage.real,
      sha: stage.sha,
      key: `quota:{${this.#pool}}`,
      epochMs: schedule.startMs,
    })
  }

  async run(): Promise<void> {
    const founder = this.#newMember('founder of the pool', this.#schedule.configuration, true)
    this.time.at(preludeMs / 2, () => void founder.close())
    await this.time.runUntil(() => preludeMs)
    for (const name of this.#schedule.members) this.join(name, undefined)
    for (const fault of this.#schedule.faults) this.#plan(fault)
    await this.time.runUntil(() => this.#schedule.untilMs)
    await this.server.lose()
  }

  outcome(): Outcome {
    const checked = check(this.#schedule, this.oracle, this.#lastFaultMs)
    for (const { atMs, text, kind } of checked.failures) this.#log(`>>> ${kind}: ${text}`, atMs)
    const timeline = this.#timeline.toSorted((one, other) => Number.parseFloat(one) - Number.parseFloat(other))
    const living = [...this.members.values()].filter(({ isAlive }) => isAlive).length
    return { ...checked, scriptCalls: this.#scriptCalls, living, timeline }
  }

  join(name: string, configuration: MemberConfiguration | undefined): void {
    const member = this.#newMember(name, configuration ?? this.#schedule.configuration)
    const { oracle, server } = this
    for (const load of this.#schedule.loads) {
      const random = this.#random.fork(`${name} ${load.id}`)
      generateLoad(member, load, { schedule: this.#schedule, oracle, server, random })
    }
  }

  trouble(member?: Member): () => void {
    if (member) member.troubles += 1
    else this.#serverTroubles += 1
    return () => {
      if (member) {
        member.troubles -= 1
        member.troubledMs = this.time.nowMs
      } else {
        this.#serverTroubles -= 1
        this.#serverTroubledMs = this.time.nowMs
      }
    }
  }

  /** Finds one, and spares it and Redis all faults until it must have seen a step that happens now. */
  watcher(): Member | undefined {
    const { heartbeatMs } = lengths(this.#schedule.configuration)
    const { nowMs } = this.time
    if (this.#serverTroubles > 0 || nowMs - this.#serverTroubledMs < 3.5 * heartbeatMs) return undefined
    const member = [...this.members.values()].find((each) => each.watchesClock(nowMs))
    if (member === undefined) return undefined
    this.#watch = { member: member.name, untilMs: nowMs + 2.5 * heartbeatMs }
    this.#serverTroubledMs = nowMs
    return member
  }

  #newMember(name: string, configuration: MemberConfiguration, opensPool = false): Member {
    const random = this.#random.fork(name)
    const { startMs } = this.#schedule
    const member = new Member({
      name,
      pool: this.#pool,
      configuration,
      opensPool,
      random,
      server: this.server,
      process: new VirtualProcess({ time: this.time, random: random.fork('process'), wallStartMs: startMs }),
      onExecuted: (...executed) => this.#executed(...executed),
      onHold: ({ name: by }, { cause, endsInMs }) => {
        this.#log(`${by} sees a hold for ${cause} that ends in ${(endsInMs / 1000).toFixed(1)} s`)
        this.oracle.held(cause, this.server.clockMs() + endsInMs)
      },
    })
    this.members.set(name, member)
    return member
  }

  #executed(member: Member, call: SentCall, answer: Answer): void {
    this.#scriptCalls += 1
    this.oracle.executed(member, call, answer)
  }

  #plan(fault: Fault): void {
    const before = snapshotBeforeMs(fault)
    if (before !== undefined) this.time.at(fault.atMs - before, () => this.server.save(snapshotName(fault)))
    this.time.at(fault.atMs, () => this.#begin(fault))
  }

  async #begin(fault: Fault): Promise<void> {
    const { member, untilMs } = this.#watch
    if (this.time.nowMs < untilMs && disturbs(fault, member)) {
      this.time.at(untilMs + 1, () => this.#begin(fault))
      return
    }
    const end = await begin(fault, this)
    this.#log(`${describeFault(fault)}${end === false ? ' (skipped)' : ''}`)
    if (end === false) return
    this.#lastFaultMs = Math.max(this.#lastFaultMs, this.time.nowMs)
    if (end === undefined) return
    this.time.after(endOf(fault) - fault.atMs, async () => {
      await end()
      this.#lastFaultMs = this.time.nowMs
      this.#log(`${describeFault(fault)}: over`)
    })
  }

  #log(text: string, atMs = this.time.nowMs): void {
    this.#timeline.push(`${(atMs / 1000).toFixed(3).padStart(9)} s  ${text}`)
  }
}
