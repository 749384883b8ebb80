import { setTimeout as sleep } from 'node:timers/promises'
import type { RedisFault, Step } from './faults.ts'
import type { Fleet, Member } from './fleet.ts'

export interface Played {
  /** By what was done, how often. */
  counts: Map<string, number>
  /** What a process owed when it was told to stop, and did not do. */
  complaints: string[]
  longestStopMs: number
}

/** Plays faults on a fleet: those on processes, on Redis and on Gemini beside each other, each kind one after the other. */
export async function playFaults(fleet: Fleet, steps: readonly Step[], say: (line: string) => void): Promise<Played> {
  const played: Played = { counts: new Map(), complaints: [], longestStopMs: 0 }
  const startedAt = performance.now()
  const track = async (on: Step['on']) => {
    for (const step of steps.filter((step) => step.on === on)) {
      await sleep(Math.max(0, step.atMs - (performance.now() - startedAt)))
      const name = step.on === 'processes' ? `${step.what} ${step.member}` : `${step.on}: ${step.what}`
      say(`${((performance.now() - startedAt) / 1000).toFixed(1)} s: ${name}, for ${step.forMs} ms`)
      const kind = step.on === 'processes' ? step.what : `${step.on} ${step.what}`
      played.counts.set(kind, (played.counts.get(kind) ?? 0) + 1)
      await play(fleet, step, played)
    }
  }
  await Promise.all([track('processes'), track('redis'), track('gemini')])
  return played
}

async function play(fleet: Fleet, step: Step, played: Played): Promise<void> {
  if (step.on === 'redis') return await playOnRedis(fleet, step.what, step.forMs)
  if (step.on === 'gemini') {
    await fleet.emulator.addFault(step.spec)
    await sleep(step.forMs)
    return await fleet.emulator.clearFaults()
  }
  const member = fleet.members.find(({ name }) => name === step.member) as Member
  if (step.what !== 'add') {
    const startedAt = performance.now()
    const how = await fleet.end(member, step.what)
    if (step.what === 'SIGTERM') played.longestStopMs = Math.max(played.longestStopMs, performance.now() - startedAt)
    if (step.what === 'SIGTERM' && how !== 0) played.complaints.push(`${member.name} ended with ${how} after SIGTERM`)
    await sleep(step.forMs)
  }
  if (member.process === undefined) await fleet.begin(member)
}

async function playOnRedis({ redis, network }: Fleet, what: RedisFault, forMs: number): Promise<void> {
  if (network === undefined) throw new Error('these faults need a fleet with breakableRedis')
  switch (what) {
    case 'hang':
      redis.process.kill('SIGSTOP')
      await sleep(forMs)
      redis.process.kill('SIGCONT')
      break
    case 'cut':
      network.cut()
      break
    case 'cut instead of a reply':
      network.mode = 'cut-on-reply'
      await sleep(forMs)
      break
    case 'restart, empty':
      redis.process.kill('SIGKILL')
      await sleep(forMs)
      await redis.restart()
      break
    default:
      network.mode = what === 'refuse' ? 'refuse' : what.includes('requests') ? 'swallow-requests' : 'swallow-replies'
      if (what === 'refuse') network.cut()
      await sleep(forMs)
      network.cut()
  }
  network.mode = 'pass'
}
