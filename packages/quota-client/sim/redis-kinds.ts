import { type Kind, waitingLoads } from './draft.ts'
import type { Random } from './random.ts'
import { lengths } from './schedule.ts'

/** A short stall, one of most of a window, or a long one: what a member remembers differs. */
function duration(random: Random): number {
  const [least, most] = random.pick([
    [50, 3000],
    [3000, 40_000],
    [61_000, 110_000],
  ] as const)
  return random.between(least, most)
}

/** With some luck an instance is started in the middle of it. */
const joinAt: (...args: [...Parameters<Kind>, atMs: number]) => void = (schedule, random, atMs) => {
  if (random.chance(0.6)) schedule.fault({ type: 'join', name: schedule.newName(), atMs })
}

const refusals = [
  "OOM command not allowed when used memory > 'maxmemory'.",
  "READONLY You can't write against a read only replica.",
  'NOREPLICAS Not enough good replicas to write.',
  'MISCONF Redis is configured to save RDB snapshots, but it is currently unable to persist on disk.',
]

/** What happens to Redis: its process, its data and its clock. */
export const redisKinds: Record<string, Kind> = {
  'Redis hangs'(schedule, random) {
    const atMs = schedule.fromMs
    const forMs = duration(random)
    schedule.fault({ type: 'hang', atMs, forMs })
    joinAt(schedule, random, atMs + random.next() * forMs)
    schedule.promises.noHold = true
  },
  'Redis restarts, data kept'(schedule, random) {
    const atMs = schedule.fromMs
    const forMs = duration(random)
    schedule.fault({ type: 'die', data: 'kept', lostMs: 0, clockStepMs: 0, atMs, forMs })
    joinAt(schedule, random, atMs + random.next() * forMs)
  },
  'Redis restarts empty'(schedule, random) {
    const atMs = schedule.fromMs
    const forMs = duration(random)
    schedule.fault({ type: 'die', data: 'lost', lostMs: 0, clockStepMs: 0, atMs, forMs })
    joinAt(schedule, random, atMs + random.next() * forMs)
  },
  'Redis rolls back'(schedule, random) {
    const lostMs = random.chance(0.5) ? random.between(50, 3000) : random.between(3000, 40_000)
    const atMs = schedule.fromMs + lostMs
    const forMs = random.between(200, 10_000)
    schedule.fault({ type: 'die', data: 'rolled back', lostMs, clockStepMs: 0, atMs, forMs })
    joinAt(schedule, random, atMs + random.next() * forMs)
  },
  'failover to another clock'(schedule, random) {
    const lostMs = random.between(50, 3000)
    const atMs = schedule.fromMs + lostMs
    const clockStepMs =
      random.sign() * random.pick([random.between(100, 3000), random.between(3000, 70_000), 3_600_000])
    schedule.fault({ type: 'die', data: 'rolled back', lostMs, clockStepMs, atMs, forMs: random.between(500, 10_000) })
    joinAt(schedule, random, atMs + 11_000)
  },
  'failover and back'(schedule, random) {
    const lostMs = random.between(20, 2000)
    const atMs = schedule.fromMs + lostMs
    const forMs = random.pick([random.between(1, 60), random.between(100, 3000), random.between(66_000, 90_000)])
    const downMs = random.between(100, 3000)
    schedule.fault({ type: 'fail over and back', data: random.pick(['own', 'of B']), lostMs, downMs, atMs, forMs })
  },
  /** The last writes are lost within the life of one process, and the instance that made them is away for a while. */
  'failover and back, unseen'(schedule, random) {
    const lostMs = random.between(20, 500)
    const atMs = random.chance(0.7) ? random.between(3000, 8000) : schedule.fromMs + lostMs // early, while calls are granted
    const [forMs, downMs] = [random.between(1, 60), random.between(20, 200)]
    schedule.fault({ type: 'fail over and back', data: 'of B', lostMs, downMs, atMs, forMs })
    const away = random.pick(schedule.members)
    schedule.fault({ type: 'cut', members: [away], atMs, forMs: random.between(2000, 30_000) })
  },
  eviction(schedule, random) {
    const count = random.whole(1, 2)
    for (let at = 0; at < count; at++)
      schedule.fault({ type: 'flush', atMs: schedule.fromMs + at * random.between(500, 70_000) })
    joinAt(schedule, random, schedule.fromMs + random.between(-2000, 2000))
  },
  /** What else is evicted depends on Redis; here the state stays, and the limits with it. */
  'eviction of the lines'(schedule, random) {
    waitingLoads(schedule, random)
    for (let at = 0; at < random.whole(1, 3); at++)
      schedule.fault({
        type: 'evict lines',
        keys: random.some([':interactive', ':batch', ':rounds']),
        atMs: schedule.fromMs + at * random.between(500, 40_000),
      })
    Object.assign(schedule.promises, { noHold: true, informed: true })
  },
  /** All is used just before the loss, and asked for again when the hold may end. */
  'loss when all is used'(schedule, random) {
    const atMs = schedule.fromMs
    const call = { kind: 'burst', size: 40, less: 0, more: 0, released: 0 } as const
    schedule.loads = []
    schedule.load({ ...call, fromMs: atMs - 100, untilMs: atMs, everyMs: 40 })
    schedule.load({ ...call, fromMs: atMs + random.between(0, 500), untilMs: atMs + 3000, everyMs: 500 })
    schedule.load({ ...call, fromMs: atMs + 0.95 * lengths(schedule.configuration).holdMs, everyMs: 300 })
    const forMs = random.between(20, 400)
    const clockStepMs = 0
    if (random.chance(0.4)) schedule.fault({ type: 'flush', atMs })
    else if (random.chance(0.5)) schedule.fault({ type: 'die', data: 'lost', lostMs: 0, clockStepMs, atMs, forMs })
    else
      schedule.fault({ type: 'die', data: 'rolled back', lostMs: random.between(100, 300), clockStepMs, atMs, forMs })
    joinAt(schedule, random, atMs + random.between(-3000, 500))
  },
  'writes refused'(schedule, random) {
    const atMs = schedule.fromMs
    const forMs = duration(random)
    schedule.fault({ type: 'refuse writes', error: random.pick(refusals), atMs, forMs })
    joinAt(schedule, random, atMs + random.next() * forMs)
    schedule.promises.noHold = true
  },
  'small clock steps'(schedule, random) {
    const sign = random.sign()
    const count = random.whole(1, 6)
    let atMs = schedule.fromMs
    for (let at = 0; at < count; at++) {
      schedule.fault({
        type: 'step clock',
        withWalls: false,
        ms: (random.chance(0.8) ? sign : -sign) * random.between(150, 260),
        atMs,
      })
      atMs += random.pick([random.between(2600, 4000), random.between(4000, 20_000)])
    }
    joinAt(schedule, random, schedule.fromMs + random.between(-3000, 6000))
  },
  /** Redis and all instances on one machine: the wall clocks step with Redis's, the monotonic clocks do not. */
  'clock step of the only machine'(schedule, random) {
    const ms = random.sign() * random.pick([random.between(300, 3000), random.between(3000, 70_000), 3_600_000])
    schedule.fault({ type: 'step clock', ms, withWalls: true, atMs: schedule.fromMs })
    joinAt(schedule, random, schedule.fromMs + random.between(-3000, 3000))
  },
  /** All is used at a bucket's end; as it leaves the ring the clock steps by less than a call's deadline, and calls follow. */
  'clock step within the deadline'(schedule, random) {
    const { bucketMs, ringMs } = lengths(schedule.configuration)
    const usedMs = schedule.fromMs + bucketMs - ((schedule.startMs + schedule.fromMs) % bucketMs)
    const ms = random.between(300, 480)
    const atMs = usedMs + ringMs - ms + random.between(1, 20)
    const call = { kind: 'burst', size: 40, less: 0, more: 0, released: 0 } as const
    schedule.loads = []
    schedule.load({ ...call, fromMs: usedMs - 10, untilMs: usedMs, everyMs: 5 })
    schedule.load({ ...call, fromMs: atMs, everyMs: 150, untilMs: atMs + 1000 })
    schedule.load({ ...call, fromMs: atMs + 1000, everyMs: 1500 })
    schedule.fault({ type: 'step clock', ms, withWalls: false, atMs })
  },
  'large clock step'(schedule, random) {
    const ms = random.sign() * random.pick([random.between(1000, 59_000), random.between(60_000, 130_000), 3_600_000])
    schedule.fault({ type: 'step clock', ms, withWalls: false, atMs: schedule.fromMs })
    joinAt(schedule, random, schedule.fromMs + random.between(-3000, 3000))
    if (random.chance(0.3))
      schedule.fault({
        type: 'step clock',
        withWalls: false,
        ms: -ms,
        atMs: schedule.fromMs + random.between(4000, 70_000),
      })
  },
  drift(schedule, random) {
    const share = random.sign() * random.pick([0.0008, 0.002, 0.01])
    schedule.fault({ type: 'drift clock', share, atMs: schedule.fromMs / 4, forMs: random.between(70_000, 150_000) })
    schedule.load({ kind: 'bucket-end', size: 6, everyMs: 2000 })
    joinAt(schedule, random, schedule.fromMs)
  },
}
