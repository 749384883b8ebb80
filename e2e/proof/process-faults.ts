import { setTimeout as sleep } from 'node:timers/promises'
import type { FaultProxy } from '@knowalledge/testing'
import type { Change, Step } from './faults.ts'
import type { Fleet, Kind, Member } from './fleet.ts'
import { on } from './fleet-redis.ts'

export interface ProcessFindings {
  /** What a process owed when it was told to stop, and did not do. */
  complaints: string[]
  longestStopMs: number
  /** Processes that were stopped with a grant on its way to them. */
  stoppedAtGrant: number
  /** While all services had a smaller limit, and how many requests it was. */
  smallerLimits: { limit: number; fromMs: number; untilMs: number }[]
}

export interface ProcessTools {
  fleet: Fleet
  findings: ProcessFindings
  /** Runs while no fault of Redis does. */
  exclusively: <T>(task: () => Promise<T>) => Promise<T>
}

const services: readonly Kind[] = ['text-generation', 'vision', 'image-generation']
/** Holds and outages end within that. */
const grantWithinMs = 12_000

/** Plays one fault of processes, and mends it. */
export async function playOnProcesses(tools: ProcessTools, step: Step & { on: 'processes' }): Promise<void> {
  const { fleet } = tools
  if (step.what === 'change of configuration') return await changeConfiguration(tools, step)
  if (step.what === 'SIGKILL of all, Redis emptied') return await restartAll(tools)
  if (step.what === 'SIGSTOP at a grant') return await stopAtGrant(tools, step.forMs)
  const member = fleet.members.find(({ name }) => name === step.member) as Member
  switch (step.what) {
    case 'SIGSTOP':
      member.process?.process.kill('SIGSTOP')
      await sleep(step.forMs)
      member.process?.process.kill('SIGCONT')
      return
    case 'add':
      break
    default:
      await end(tools, member, step.what)
      await sleep(step.forMs)
  }
  if (member.process === undefined) await fleet.begin(member)
}

async function end({ fleet, findings }: ProcessTools, member: Member, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
  const startedAt = performance.now()
  const how = await fleet.end(member, signal)
  if (signal === 'SIGKILL') return
  findings.longestStopMs = Math.max(findings.longestStopMs, performance.now() - startedAt)
  if (how !== 0) findings.complaints.push(`${member.name} ended with ${how} after SIGTERM`)
}

/** A rolling deploy: the services beside each other, the instances of each one after the other. Then Redis is left in peace. */
async function changeConfiguration(tools: ProcessTools, { change, forMs }: Step & { change: Change }): Promise<void> {
  const { fleet, findings, exclusively } = tools
  const { transitMs, rpm } = change
  fleet.changed = { QUOTA_TRANSIT_MS: String(transitMs), QUOTA_RPM: String(rpm) }
  await Promise.all(
    services.map(async (kind) => {
      for (const member of fleet.of(kind).filter(({ process }) => process !== undefined)) {
        await end(tools, member, 'SIGTERM')
        await fleet.begin(member)
      }
    }),
  )
  // What was granted before may still be on its way.
  findings.smallerLimits.push({ limit: rpm, fromMs: Date.now() + transitMs, untilMs: Number.POSITIVE_INFINITY })
  await exclusively(() => sleep(forMs)) // else a hold could last until the change is taken back
}

/** A power failure: all come back together, with their first configuration, and Redis has lost everything. */
async function restartAll({ fleet, findings, exclusively }: ProcessTools): Promise<void> {
  const members = fleet.running
  const down = await exclusively(async () => {
    const down = { fromMs: Date.now(), untilMs: Number.POSITIVE_INFINITY }
    fleet.down.push(down)
    for (const smaller of findings.smallerLimits) smaller.untilMs = Math.min(smaller.untilMs, down.fromMs)
    await Promise.all(members.map((member) => fleet.end(member, 'SIGKILL')))
    await on(fleet.redis.server, (redis) => redis.flushall())
    return down
  })
  fleet.changed = {}
  await Promise.all(members.map((member) => fleet.begin(member)))
  down.untilMs = Date.now()
}

/**
 * Stops the process that is granted a call next, when Redis's reply is on its way to it, for longer than the call may be
 * used: it must not be sent when the process goes on.
 */
async function stopAtGrant({ fleet, findings }: ProcessTools, forMs: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<Member | undefined>()
  const watched = fleet.running.filter(({ kind }) => services.includes(kind))
  const watch = (onReply: (member: Member) => FaultProxy['onReply']) => {
    for (const member of watched) fleet.redis.proxyOf(member.name).onReply = onReply(member)
  }
  watch((member) => (reply, request) => {
    if (!isGrant(reply, request)) return
    watch(() => undefined)
    member.process?.process.kill('SIGSTOP')
    resolve(member)
  })
  const stopped = await Promise.race([promise, sleep(grantWithinMs, undefined)])
  watch(() => undefined)
  if (stopped === undefined) return
  findings.stoppedAtGrant += 1
  await sleep(forMs)
  stopped.process?.process.kill('SIGCONT')
}

/** Whether a reply of packages/quota-client/lua/quota.lua grants the last of the reservations that it answers. */
export function isGrant(reply: Buffer, request: Buffer): boolean {
  if (!/\r\nreserve\r\n.*\r\n(\d+,\d+,\d+,[01];)+\r\n/s.test(request.toString('latin1'))) return false
  const payload = reply.subarray(reply.indexOf('\r\n') + 2, reply.lastIndexOf('\r\n'))
  if (payload.length < 48 || payload.readDoubleLE(16) !== 0) return false
  return payload.readDoubleLE(payload.length - 24) > 0
}
