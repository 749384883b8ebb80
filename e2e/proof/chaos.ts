import { randomFrom } from '@knowalledge/gemini-emulator'
import type { TestContext } from '@knowalledge/testing'
import { nobody } from './callers.ts'
import { holdMs, judge } from './chaos-judge.ts'
import { type Change, planFaults } from './faults.ts'
import { Fleet, type Kind } from './fleet.ts'
import { watchHolds } from './holds.ts'
import { emulatorEnv, poolCount, progress, quotaEnv } from './invariant.ts'
import { startLoad } from './load.ts'
import type { Part } from './part.ts'
import { Questioner } from './questions.ts'
import { healthyAfter } from './recovery.ts'
import { playFaults } from './stage.ts'

/** A short window, so that many of them pass and faults fall everywhere into them. */
const quota = { limit: 8, windowMs: 6_000 }
/** Not in scale: a busy machine delays calls by as much as in a window of a minute. */
const transitMs = 1_000
/** A ring that gets longer or shorter, with a smaller limit. */
const changes: readonly Change[] = [
  { transitMs: 1_500, rpm: 6 },
  { transitMs: 600, rpm: 6 },
]
/** Enough to take each place at once, and no more: the CPU is for processes that start. */
const timesOverDemanded = 5
const deadlineMs = 8_000
/** Longer than a service waits for Redis or for the end of a hold: else it could not say that it waited for them. */
const geminiTimeoutMs = 6_000
/** In the long form; the short one plays each kind of fault once. */
const longForMs = 600_000

/** The same load while instances come and go, Redis fails and Gemini fails and lies. */
export const chaos: Part = {
  name: 'chaos',
  async play(t: TestContext, { seed, long, say }) {
    const fleet = await Fleet.start(t, {
      env: {
        ...quotaEnv(quota),
        QUOTA_TRANSIT_MS: String(transitMs),
        GEMINI_TIMEOUT_MS: String(geminiTimeoutMs),
        NODE_OPTIONS: '--trace-warnings',
        UPSTREAM_TIMEOUT_MS: String(deadlineMs),
      },
      emulatorEnv: emulatorEnv(quota),
      instances: { gateway: 2, 'text-generation': 2, vision: 2, 'image-generation': 2 },
      spares: { gateway: 1, 'text-generation': 1 },
      breakableRedis: true,
    })
    const names = (isRunning: boolean, kinds?: readonly Kind[]) =>
      fleet.members
        .filter(({ kind, process }) => isRunning === (process !== undefined) && (!kinds || kinds.includes(kind)))
        .map(({ name }) => name)
    const plan = planFaults(randomFrom(`faults ${seed}`), {
      forMs: long ? longForMs : undefined,
      windowMs: quota.windowMs,
      holdMs: holdMs(quota.windowMs, transitMs),
      changes,
      running: names(true),
      services: names(true, ['text-generation', 'vision', 'image-generation']),
      spare: names(false),
    })
    const random = randomFrom(`chaos ${seed}`)
    const questioner = new Questioner(random, { callers: [nobody] })
    const load = startLoad({
      gateways: () => fleet.of('gateway'),
      down: fleet.down,
      perSecond: () => (timesOverDemanded * poolCount * quota.limit) / (quota.windowMs / 1000),
      next: () => questioner.next(),
      random,
      deadlineMs,
    })
    const holds = watchHolds(fleet)
    await holds.open() // a new pool begins with a hold
    const lastMs = plan.at(-1)?.atMs ?? 0
    const startedAt = performance.now()
    const fromMs = Date.now()
    const telling = setInterval(() => say(progress(load.tally, lastMs - (performance.now() - startedAt))), 5_000)
    const played = await playFaults(fleet, plan, say).finally(() => clearInterval(telling))
    const untilMs = Date.now()
    const recovering = load.stop()
    const recovery = await healthyAfter(fleet, questioner)
    const tally = await recovering
    await holds.stop()
    say(`healthy again after ${(recovery.ms / 1000).toFixed(1)} s`)
    const longestTransitMs = Math.max(transitMs, ...changes.map((change) => change.transitMs))
    return await judge(fleet, {
      quota,
      transitMs: longestTransitMs,
      tally,
      played,
      recovery,
      holds: holds.spans,
      fromMs,
      untilMs,
    })
  },
}
