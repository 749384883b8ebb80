import { type Draft, draft, type Kind, pastHold, servingMs, waitingLoads } from './draft.ts'
import { fleetKinds } from './fleet-kinds.ts'
import type { Random } from './random.ts'
import { redisKinds } from './redis-kinds.ts'
import { quietPromises, type Schedule } from './schedule.ts'

/** No fault at all: the limits are used, and never exceeded. */
const quietKinds: Record<string, Kind> = {
  steady(schedule) {
    schedule.loads = []
    schedule.load({ kind: 'greedy', size: 1, tokens: [1, 10] })
    schedule.configuration.limits = { rpm: 60, rpd: 1e6, tpm: 1e9, tpd: 1e11 }
    schedule.untilMs = 4 * schedule.windowMs
    schedule.promises = { ...quietPromises, used: 0.98 }
  },
  bursts(schedule, random) {
    schedule.load({ kind: 'bucket-end', size: random.whole(2, 12), everyMs: random.between(2000, 9000) })
    schedule.load({ kind: 'presentation', size: 12, everyMs: 20_000, startsAfterMs: random.between(0, 300) })
    schedule.untilMs = 2.5 * schedule.windowMs
    schedule.promises = { ...quietPromises }
  },
  settlements(schedule, random) {
    for (const load of schedule.loads) Object.assign(load, { less: 0.3, more: 0.3, released: 0.2 })
    const tpm = random.whole(1500, 4000)
    schedule.configuration.limits = { rpm: 60, rpd: 1e6, tpm, tpd: 1e9 }
    schedule.untilMs = 2.5 * schedule.windowMs
    schedule.promises = { ...quietPromises, overrunsCharged: true }
  },
  'late starts'(schedule, random) {
    for (const load of schedule.loads) load.startsAfterMs = random.between(100, 1500)
    schedule.untilMs = 2.5 * schedule.windowMs
    schedule.promises = { ...quietPromises }
  },
  /** Classes, batch calls and plain calls at once, for longer than a ring's turn. */
  waiting(schedule, random) {
    schedule.configuration.limits.tpm = 1e9
    schedule.tenants = {} // a tenant's own limit makes its calls let others pass
    schedule.loads = schedule.loads.filter(({ tenant, waits }) => tenant === undefined && waits === undefined)
    waitingLoads(schedule, random)
    schedule.untilMs = 4 * schedule.windowMs
    schedule.promises = { ...quietPromises, informed: true, inOrder: true }
  },
  /** One line of interactive calls of no client, from which none leaves: each start is known when a call arrives. */
  'waiting, in peace'(schedule, random) {
    const { rpm } = schedule.configuration.limits
    schedule.configuration.limits.tpm = 1e9
    schedule.tenants = {}
    const waits = { mostMs: 10 * schedule.windowMs, clients: 0, aborted: 0 }
    const call = { released: 0, fromMs: servingMs }
    schedule.loads = []
    schedule.load({ ...call, kind: 'single', everyMs: random.between(1500, 9000) })
    schedule.load({ ...call, kind: 'single', everyMs: random.between(3000, 20_000), waits })
    schedule.load({ ...call, kind: 'burst', size: Math.ceil(rpm * random.between(0.2, 0.7)), everyMs: 70_000, waits })
    schedule.untilMs = 4 * schedule.windowMs
    schedule.promises = { ...quietPromises, informed: true, inOrder: true, toldRight: true }
  },
}

/** Three to six faults of any kind, one after the other or at once. */
function mix(schedule: Draft, random: Random): void {
  const parts = Object.entries({ ...redisKinds, ...fleetKinds }).filter(([name]) => !notMixed.has(name))
  const count = random.whole(2, 5)
  let fromMs = random.between(2000, schedule.windowMs)
  for (let at = 0; at < count; at++) {
    const [, part] = random.pick(parts)
    schedule.fromMs = fromMs
    part(schedule, random)
    fromMs += random.chance(0.4) ? random.between(0, 5000) : random.between(5000, 1.3 * schedule.windowMs)
  }
  Object.assign(schedule.promises, { noHold: false, informed: false })
}

/** They set limits or the time of the whole schedule, or make it long. */
const notMixed = new Set([
  'day',
  'day, tenants',
  'midnight',
  'mixed window and transit',
  'scaling 3 to 30',
  'drift',
  'drift of a member',
  'clock step within the deadline',
  'loss when all is used',
])

export const kinds: Readonly<Record<string, Kind>> = { ...quietKinds, ...redisKinds, ...fleetKinds, mix }

/** Long schedules less often, mixtures more often than the others. */
const share = (name: string) =>
  name === 'mix' ? 8 : name === 'scaling 3 to 30' || name === 'steady' || name.startsWith('mixed') ? 1 : 2
const roster = Object.keys(kinds).flatMap((name) => Array<string>(share(name)).fill(name))

export function kindOf(seed: number): string {
  return roster[seed % roster.length] ?? 'mix'
}

export function scheduleOf(seed: number, kind = kindOf(seed)): Schedule {
  const make = kinds[kind]
  if (make === undefined) throw new Error(`there is no kind ${kind}, only ${Object.keys(kinds).join(', ')}`)
  const { schedule, random } = draft(seed, kind)
  make(schedule, random)
  return pastHold(schedule)
}
