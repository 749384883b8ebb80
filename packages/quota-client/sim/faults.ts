import type { Member } from './member.ts'
import type { Link } from './network.ts'
import type { Oracle } from './oracle.ts'
import { type Fault, type MemberConfiguration, membersOf } from './schedule.ts'
import type { VirtualRedis } from './server.ts'
import type { VirtualTime } from './virtual-time.ts'

/** What faults happen to. */
export interface World {
  time: VirtualTime
  server: VirtualRedis
  oracle: Oracle
  members: Map<string, Member>
  join(name: string, configuration: MemberConfiguration | undefined): void
  /** Marks that the member's link, or without a member Redis itself, is at fault until the returned function is called. */
  trouble(member?: Member): () => void
  /** A member that would see a step of a clock. */
  watcher(): Member | undefined
}

type End = (() => void | Promise<void>) | undefined
type Of<Type> = Extract<Fault, { type: Type }>

/** The name under which the state before a fault is kept. */
export function snapshotName(fault: Fault): string {
  return `${fault.type} ${fault.atMs}`
}

/** How long before it the state is copied to which a fault returns; undefined when it returns to none. */
export function snapshotBeforeMs(fault: Fault): number | undefined {
  if (fault.type === 'die' && fault.data === 'rolled back') return fault.lostMs
  return fault.type === 'fail over and back' ? fault.lostMs : undefined
}

/** True for faults that a member must be spared while it watches the clock. */
export function disturbs(fault: Fault, watcher: string): boolean {
  return fault.type !== 'join' && (!('members' in fault) || membersOf(fault).includes(watcher))
}

/** Begins a fault. Returns false when it makes no sense now, else what ends it, if it lasts. */
export async function begin(fault: Fault, world: World): Promise<End | false> {
  const { server, oracle } = world
  const members = membersOf(fault).flatMap((name) => world.members.get(name) ?? [])
  const living = members.filter((member) => member.isAlive)
  if ('members' in fault && living.length === 0) return false
  switch (fault.type) {
    case 'cut':
      for (const { connection } of living) connection.cut()
      return changeLinks(living, world, () => ({ isCut: true }))
    case 'lose':
      return changeLinks(living, world, () => ({ [lossOf[fault.what]]: fault.share }))
    case 'duplicate':
      return changeLinks(living, world, () => ({ duplicate: fault.share, straggleMs: fault.straggleMs }))
    case 'reorder':
      return changeLinks(living, world, () => ({ reorder: true, straggleMs: fault.straggleMs }))
    case 'slow':
      return changeLinks(living, world, () => ({ delayMs: fault.delayMs, jitterMs: fault.jitterMs }))
    case 'hang':
      if (!server.isUp || server.isHung) return false
      server.hang()
      return ending(world.trouble(), () => server.continue())
    case 'die':
      return server.isUp ? die(fault, world) : false
    case 'fail over and back':
      return server.isUp ? failOverAndBack(fault, world) : false
    case 'flush':
      await server.lose()
      oracle.stateLost()
      oracle.expectHold('empty')
      return undefined
    case 'evict lines':
      await server.lose(fault.keys)
      return undefined
    case 'refuse writes':
      server.refusal = fault.error
      return ending(world.trouble(), () => {
        server.refusal = ''
      })
    case 'step clock':
      if (world.watcher() === undefined) return false
      stepClock(fault.ms, world)
      if (fault.withWalls) for (const { process } of world.members.values()) process.stepWall(fault.ms)
      oracle.membersUncertain()
      return undefined
    case 'drift clock':
      server.driftClock(fault.share)
      oracle.expectHold('clock')
      return ending(world.trouble(), () => server.driftClock(0))
    case 'drift member':
      for (const { process } of living) process.drift(fault.share)
      oracle.expectHold('clock')
      return ending(troubles(living, world), () => {
        for (const { process } of living) process.drift(0)
      })
    case 'step wall':
      for (const { process } of living) process.stepWall(fault.ms)
      return troubles(living, world)
    case 'stop':
      for (const { process } of living) process.stop()
      return ending(troubles(living, world), () => {
        for (const { process } of living) process.resume()
      })
    case 'pause machine':
      for (const { process } of living) process.pauseMachine()
      oracle.expectHold('clock') // its monotonic clock lags behind Redis's, as if Redis's had stepped
      return ending(troubles(living, world), () => {
        for (const { process } of living) process.resumeMachine()
      })
    case 'crash':
      for (const member of living) member.crash()
      return undefined
    case 'close':
      for (const member of living) void member.close()
      return undefined
    case 'join':
      if (world.members.has(fault.name)) return false
      if (fault.configuration !== undefined) oracle.expectHold('configuration')
      world.join(fault.name, fault.configuration)
      return undefined
  }
}

const lossOf = { requests: 'loseRequests', replies: 'loseReplies', heartbeats: 'loseHeartbeats' } as const

function changeLinks(members: Member[], world: World, change: () => Partial<Link>): End {
  const before = members.map(({ link }) => ({ ...link }))
  const changes = change()
  for (const { link } of members) Object.assign(link, changes)
  return ending(troubles(members, world), () => {
    for (const [at, { link }] of members.entries())
      Object.assign(link, pickKeys(before[at], Object.keys(changes) as (keyof Link)[]))
  })
}

function pickKeys(link: Link | undefined, keys: (keyof Link)[]): Partial<Link> {
  return Object.fromEntries(keys.map((key) => [key, link?.[key]])) as Partial<Link>
}

function troubles(members: Member[], world: World): () => void {
  const ends = members.map((member) => world.trouble(member))
  return () => {
    for (const end of ends) end()
  }
}

function ending(troubleEnds: () => void, end: () => void | Promise<void>): End {
  return async () => {
    await end()
    troubleEnds()
  }
}

async function die(fault: Of<'die'>, world: World): Promise<End> {
  const { server, oracle } = world
  server.die()
  server.promote()
  if (fault.data === 'lost') await server.lose()
  if (fault.data === 'lost') oracle.stateLost()
  oracle.expectHold(fault.data === 'lost' ? 'empty' : 'restart')
  if (fault.data === 'rolled back') {
    await server.restore(snapshotName(fault))
    oracle.membersUncertain()
  }
  if (fault.clockStepMs !== 0) stepClock(fault.clockStepMs, world)
  return ending(world.trouble(), () => server.start())
}

/** Members compare the clock with what it was; after a step back, a state that is made anew looks older than the lost one. */
function stepClock(ms: number, { server, oracle }: World): void {
  server.stepClock(ms)
  oracle.expectHold('clock')
  if (ms < 0) oracle.expectHold('restart')
}

async function failOverAndBack(fault: Of<'fail over and back'>, world: World): Promise<End> {
  const { server, oracle, time } = world
  const [own, ofB] = [`${snapshotName(fault)} A`, snapshotName(fault)]
  await server.save(own)
  oracle.expectHold('restart')
  const troubleEnds = world.trouble()
  server.die()
  server.promote()
  await server.restore(ofB)
  oracle.membersUncertain()
  time.after(fault.downMs, () => server.start())
  time.after(fault.downMs + fault.forMs, async () => {
    server.die()
    server.promote()
    if (fault.data === 'own') await server.restore(own)
    oracle.membersUncertain()
  })
  return ending(troubleEnds, () => server.start())
}
