import type { Draft, Kind } from './draft.ts'
import type { Random } from './random.ts'
import { type MemberConfiguration, quietPromises } from './schedule.ts'

const duration = (random: Random) => (random.chance(0.5) ? random.between(50, 10_000) : random.between(30_000, 110_000))

/** Each member is replaced by a new one, which comes a little before or after the old one goes. */
function deploy(schedule: Draft, random: Random, how: 'crash' | 'close', configuration?: MemberConfiguration): void {
  let atMs = schedule.fromMs
  for (const member of schedule.members) {
    const join = { type: 'join', name: schedule.newName(), atMs: atMs + random.between(-3000, 3000) } as const
    schedule.fault(configuration === undefined ? join : { ...join, configuration })
    schedule.fault({ type: how, members: [member], atMs })
    atMs += random.between(500, 9000)
  }
}

/** What happens to instances and their links. */
export const fleetKinds: Record<string, Kind> = {
  cuts(schedule, random) {
    const atMs = schedule.fromMs
    const all = random.chance(0.3)
    for (const member of all ? schedule.members : random.some(schedule.members))
      schedule.fault({ type: 'cut', members: [member], atMs: atMs + random.between(0, 4000), forMs: duration(random) })
    schedule.promises.noHold = true
  },
  'messages lost'(schedule, random) {
    const what = random.pick(['requests', 'replies', 'heartbeats'] as const)
    const members = random.some(schedule.members)
    const share = random.pick([0.2, 0.5, 1])
    schedule.fault({ type: 'lose', members, what, share, atMs: schedule.fromMs, forMs: duration(random) })
    for (const load of schedule.loads) Object.assign(load, { less: 0.4, released: 0.3 })
    schedule.promises.noHold = true
  },
  'messages duplicated'(schedule, random) {
    const straggleMs = random.pick([2, 400, 3000])
    const lasting = {
      members: schedule.members,
      straggleMs,
      atMs: schedule.fromMs / 2,
      forMs: random.between(20_000, 60_000),
    }
    schedule.fault({ type: 'duplicate', share: 0.5, ...lasting })
    if (random.chance(0.5)) schedule.fault({ type: 'reorder', ...lasting, straggleMs: random.between(2, 450) })
    for (const load of schedule.loads) Object.assign(load, { less: 0.4, released: 0.3 })
    schedule.promises.noHold = true
  },
  'slow links'(schedule, random) {
    for (const member of random.some(schedule.members)) {
      const [delayMs, jitterMs] = [random.between(1, 260), random.between(1, 300)]
      schedule.fault({
        type: 'slow',
        members: [member],
        delayMs,
        jitterMs,
        atMs: schedule.fromMs,
        forMs: duration(random),
      })
    }
    schedule.promises.noHold = true
  },
  SIGSTOP(schedule, random) {
    for (let at = 0; at < random.whole(1, 4); at++) {
      const forMs = random.pick([random.between(50, 800), random.between(800, 5000), duration(random)])
      const atMs = schedule.fromMs + at * random.between(100, 9000)
      schedule.fault({ type: 'stop', members: [random.pick(schedule.members)], atMs, forMs })
    }
    schedule.promises.noHold = true
  },
  'paused machine'(schedule, random) {
    const forMs = random.pick([random.between(50, 800), random.between(800, 60_000), random.between(62_000, 110_000)])
    for (const load of schedule.loads) load.startsAfterMs = random.between(100, 400)
    const members = random.some(schedule.members)
    const atMs = random.chance(0.5) ? random.between(2200, 6000) : schedule.fromMs // early, while calls are granted one after the other
    schedule.fault({ type: 'pause machine', members, atMs, forMs })
    if (random.chance(0.3))
      schedule.fault({ type: 'step wall', members, ms: random.sign() * 5000, atMs: schedule.fromMs + 9000 })
  },
  'drift of a member'(schedule, random) {
    const share = random.sign() * random.pick([0.0005, 0.002, 0.01])
    const lasting = { atMs: schedule.fromMs / 2, forMs: random.between(60_000, 130_000) }
    schedule.fault({ type: 'drift member', members: random.some(schedule.members), share, ...lasting })
  },
  crashes(schedule, random) {
    for (let at = 0; at < random.whole(1, 3); at++) {
      const atMs = schedule.fromMs + at * random.between(500, 20_000)
      schedule.fault({ type: 'crash', members: [random.pick(schedule.members)], atMs })
      schedule.fault({ type: 'join', name: schedule.newName(), atMs: atMs + random.between(100, 3000) })
    }
    Object.assign(schedule.promises, { noHold: true, informed: true })
  },
  'deploy, SIGTERM'(schedule, random) {
    deploy(schedule, random, 'close')
    Object.assign(schedule.promises, { noHold: true, informed: true })
  },
  'deploy, SIGKILL'(schedule, random) {
    deploy(schedule, random, 'crash')
    Object.assign(schedule.promises, { noHold: true, informed: true })
  },
  'deploy, then loss'(schedule, random) {
    deploy(schedule, random, random.pick(['close', 'crash']))
    schedule.fault({ type: 'flush', atMs: schedule.fromMs + random.between(3000, 40_000) })
  },
  'deploy of other limits'(schedule, random) {
    const { configuration } = schedule
    const factor = random.pick([0.5, 0.75, 1.5, 2])
    const { rpm, rpd, tpm, tpd } = configuration.limits
    const limits = { rpm: Math.ceil(rpm * factor), rpd, tpm: Math.ceil(tpm * factor), tpd }
    deploy(schedule, random, random.pick(['close', 'crash']), { ...configuration, limits })
    schedule.promises.noHold = true
  },
  'deploy of another window'(schedule, random) {
    const { configuration } = schedule
    const change = random.pick([{ windowMs: 90_000 }, { windowMs: 40_000 }, { transitMs: 1500 }, { transitMs: 200 }])
    deploy(schedule, random, random.pick(['close', 'crash']), { ...configuration, ...change })
    // A killed instance with the longest window is in force until it is forgotten; then the ring gets shorter, with a hold.
    schedule.promises.recoversInMs += schedule.windowMs
  },
  /** One instance with a longer window and one with a longer transit: the ring needs the longest of both. */
  'mixed window and transit'(schedule, random) {
    const { configuration } = schedule
    const atMs = random.between(100, 8000)
    for (const change of [{ windowMs: 70_000 }, { transitMs: random.whole(1000, 3000) }])
      schedule.fault({
        type: 'join',
        name: schedule.newName(),
        configuration: { ...configuration, ...change },
        atMs: atMs + random.between(0, 3000),
      })
    schedule.load({ kind: 'bucket-end', size: 12, everyMs: 4000 })
    schedule.untilMs = atMs + 80_000 + 90_000
    schedule.promises.recoversInMs = 0
  },
  'scaling 3 to 30'(schedule, random) {
    for (let at = 0; at < 27; at++)
      schedule.fault({ type: 'join', name: schedule.newName(), atMs: 10_000 + random.between(0, 6000) })
    schedule.untilMs = 1.3 * schedule.windowMs
    schedule.promises = { ...quietPromises }
  },
  'fleet restarted on an empty Redis'(schedule, random) {
    const atMs = schedule.fromMs
    schedule.fault({ type: 'crash', members: [...schedule.members], atMs })
    schedule.fault({ type: 'die', data: 'lost', lostMs: 0, clockStepMs: 0, atMs, forMs: random.between(100, 5000) })
    for (let at = 0; at < 3; at++)
      schedule.fault({ type: 'join', name: schedule.newName(), atMs: atMs + random.between(0, 8000) })
  },
  'empty Redis, only joining members'(schedule, random) {
    const atMs = schedule.fromMs
    const forMs = duration(random)
    for (const member of schedule.members)
      schedule.fault({
        type: 'cut',
        members: [member],
        atMs: atMs - random.between(0, 50),
        forMs: forMs + random.between(0, 3000),
      })
    schedule.fault({ type: 'flush', atMs: atMs + random.between(0, 500) })
    for (let at = 0; at < 2; at++)
      schedule.fault({ type: 'join', name: schedule.newName(), atMs: atMs + random.between(0, 4000) })
  },
  tenants(schedule, random) {
    schedule.tenants = { school: { rpm: 5, tpm: 400 }, college: { rpm: 8 } }
    for (const tenant of ['school', 'college'])
      schedule.load({
        kind: random.pick(['burst', 'bucket-end']),
        size: 3,
        everyMs: 4000,
        tenant,
        less: 0.2,
        released: 0.2,
      })
    const atMs = schedule.fromMs
    if (random.chance(0.5)) schedule.fault({ type: 'flush', atMs })
    else
      schedule.fault({
        type: 'die',
        data: 'rolled back',
        lostMs: random.between(50, 9000),
        clockStepMs: 0,
        atMs,
        forMs: 2000,
      })
  },
  day(schedule, random) {
    schedule.configuration.limits = {
      rpm: 20,
      rpd: random.whole(25, 60),
      tpm: 1e9,
      tpd: random.chance(0.5) ? 2500 : 1e9,
    }
    loseState(schedule, random)
    schedule.promises.recoversInMs = 0
  },
  'day, tenants'(schedule, random) {
    schedule.tenants = { school: { rpd: random.whole(6, 14) }, college: { rpd: 20, tpd: 900 } }
    for (const tenant of ['school', 'college']) schedule.load({ kind: 'burst', size: 2, everyMs: 5000, tenant })
    loseState(schedule, random)
    schedule.promises.recoversInMs = 0
  },
  midnight(schedule, random) {
    schedule.startMs = Date.parse('2031-07-02T07:00:00Z') - schedule.windowMs * random.between(0.3, 1.2)
    schedule.configuration.limits = { rpm: 20, rpd: random.whole(15, 40), tpm: 1e9, tpd: 1e11 }
    if (random.chance(0.5)) loseState(schedule, random)
    else schedule.untilMs = 2.5 * schedule.windowMs
    schedule.promises.recoversInMs = 0
  },
}

/** Once or twice, in one way or the other, with an instance that goes and one that comes. */
function loseState(schedule: Draft, random: Random): void {
  let atMs = schedule.fromMs
  for (let times = random.whole(1, 2); times > 0; times--) {
    const forMs = random.between(300, 3000)
    const data = random.pick(['lost', 'rolled back', 'kept'] as const)
    if (random.chance(0.4)) schedule.fault({ type: 'flush', atMs })
    else schedule.fault({ type: 'die', data, lostMs: random.between(50, 15_000), clockStepMs: 0, atMs, forMs })
    if (random.chance(0.3))
      schedule.fault({
        type: 'crash',
        members: [random.pick(schedule.members)],
        atMs: atMs + random.between(-3000, 3000),
      })
    if (random.chance(0.4))
      schedule.fault({ type: 'join', name: schedule.newName(), atMs: atMs + random.between(-3000, 3000) })
    atMs += random.between(2000, 80_000)
  }
  schedule.untilMs = Math.max(...schedule.faults.map(({ atMs }) => atMs)) + 2 * schedule.windowMs
}
