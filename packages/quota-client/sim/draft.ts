import { Random } from './random.ts'
import { endOf, type Fault, type Load, lengths, quietPromises, type Schedule } from './schedule.ts'

/** A schedule that a kind fills in. */
export interface Draft extends Schedule {
  windowMs: number
  /** When the faults that are added next begin. */
  fromMs: number
  random: Random
  fault(fault: Fault): void
  load(load: Partial<Load> & Pick<Load, 'kind'>): void
  /** A new name for a joining member. */
  newName(): string
}

const windowMs = 60_000
/** How long after a hold the first grant may take. */
const recoveryMs = 5000
/** By when all members use grants. */
export const servingMs = 4000
/** Noon in the pool's zone, so that no day ends unless a kind wants it to. */
const noonMs = Date.parse('2031-07-01T19:00:00Z')

/** Three members, limits of some dozens, single calls and bursts; no fault yet. */
export function draft(seed: number, kind: string): { schedule: Draft; random: Random } {
  const random = new Random(`${kind} ${seed} schedule`)
  const rpm = random.whole(12, 40)
  const tokensBind = random.chance(0.3)
  const limits = { rpm, rpd: 1e6, tpm: tokensBind ? rpm * 70 : 1e9, tpd: 1e11 }
  let joined = 0
  const schedule: Draft = {
    seed,
    kind,
    random,
    windowMs,
    fromMs: random.between(0.2, 1.1) * windowMs,
    startMs: noonMs,
    untilMs: 0,
    members: random.chance(0.2) ? ['A', 'B'] : ['A', 'B', 'C'],
    configuration: { limits, safetyMargin: 0.8, transitMs: 500, windowMs },
    tenants: {},
    loads: [],
    faults: [],
    promises: { ...quietPromises, noHold: false, recoversInMs: recoveryMs },
    fault(fault) {
      this.faults.push(fault)
    },
    load(load) {
      this.loads.push({
        id: `load ${this.loads.length + 1}`,
        fromMs: 0,
        untilMs: Number.POSITIVE_INFINITY,
        everyMs: 4000,
        size: 1,
        tokens: [10, 100],
        priority: 'interactive',
        startsAfterMs: 0,
        less: 0.1,
        more: 0.05,
        released: 0.05,
        ...load,
      })
    },
    newName() {
      joined += 1
      return `N${joined}`
    },
  }
  schedule.load({ kind: 'single', everyMs: random.between(1500, 4000), startsAfterMs: random.between(0, 100) })
  schedule.load({
    kind: random.pick(['burst', 'bucket-end']),
    size: random.whole(2, 8),
    everyMs: random.between(3000, 8000),
  })
  if (random.chance(0.25))
    schedule.load({ kind: 'presentation', size: 12, everyMs: 20_000, startsAfterMs: 150, priority: 'batch' })
  if (random.chance(0.25)) {
    schedule.tenants.school = { rpm: Math.ceil(rpm / 3) }
    schedule.load({ kind: 'burst', size: 3, everyMs: 6000, tenant: 'school' })
  }
  if (random.chance(0.1)) schedule.load({ kind: 'usage', everyMs: 3000 })
  const forWaiting = random.fork('waiting')
  if (forWaiting.chance(0.3)) waitingLoads(schedule, forWaiting)
  return { schedule, random }
}

/** Classes that ask all at once and wait for their answers, and batch calls behind them; some give up. */
export function waitingLoads(schedule: Draft, random: Random): void {
  const { rpm } = schedule.configuration.limits
  const mostMs = random.between(0.5, 4) * schedule.windowMs
  const waits = { mostMs, clients: random.pick([0, 4]), aborted: random.pick([0, 0.2]) }
  const size = Math.ceil(rpm * random.between(0.2, 0.6))
  const call = { fromMs: servingMs, waits }
  schedule.load({ ...call, kind: 'burst', size, everyMs: random.between(20_000, 60_000) })
  if (random.chance(0.5)) schedule.load({ ...call, kind: 'single', everyMs: 6000, waits: { ...waits, clients: 2 } })
  if (random.chance(0.5)) schedule.load({ ...call, kind: 'burst', size: 4, everyMs: 25_000, priority: 'batch' })
  if (schedule.tenants.school) schedule.load({ ...call, kind: 'burst', size: 3, everyMs: 15_000, tenant: 'school' })
}

/** Goes on for a hold and a little more after the last fault, unless the kind says for how long. */
export function pastHold(schedule: Draft): Schedule {
  const { seed, kind, startMs, members, configuration, tenants, loads, promises } = schedule
  const faults = schedule.faults.toSorted((one, other) => one.atMs - other.atMs)
  const longestMs = Math.max(...[configuration, ...faults.flatMap(configurationOf)].map((each) => lengths(each).holdMs))
  const last = Math.max(0, ...faults.map(endOf))
  if (promises.recoversInMs > 0) promises.recoversInMs += longestMs
  const untilMs = schedule.untilMs > 0 ? schedule.untilMs : last + Math.max(longestMs, promises.recoversInMs) + 4000
  return { seed, kind, startMs, untilMs, members, configuration, tenants, loads, faults, promises }
}

function configurationOf(fault: Fault) {
  return fault.type === 'join' && fault.configuration !== undefined ? [fault.configuration] : []
}

export type Kind = (schedule: Draft, random: Random) => void
