import { randomFrom } from '@knowalledge/gemini-emulator'
import type { TestContext } from '@knowalledge/testing'
import { nobody } from './callers.ts'
import { planFaults } from './faults.ts'
import { Fleet } from './fleet.ts'
import { commonRows, disturbances, emulatorEnv, progress, quotaEnv } from './invariant.ts'
import { startLoad } from './load.ts'
import { readLogs } from './logs.ts'
import { mostInAnyWindow, overLimit } from './oracle.ts'
import type { Outcome, Part } from './part.ts'
import { Questioner } from './questions.ts'
import { healthyAfter } from './recovery.ts'
import { figure } from './report.ts'
import { type Played, playFaults } from './stage.ts'

/** A short window, so that many of them pass and faults fall everywhere into them. */
const quota = { limit: 24, windowMs: 6_000 }
const timesOverDemanded = 10
const deadlineMs = 6_000
const healthyWithinMs = 10_000
const stopWithinMs = 10_000
const forMs = { short: 60_000, long: 600_000 }

/** The same load while instances come and go, Redis fails and Gemini fails and lies. */
export const chaos: Part = {
  name: 'chaos',
  async play(t: TestContext, { seed, long, say }) {
    const fleet = await Fleet.start(t, {
      env: {
        ...quotaEnv(quota),
        GEMINI_TIMEOUT_MS: '4000',
        QUOTA_ASSUMED_INSTANCES: '1000',
        UPSTREAM_TIMEOUT_MS: String(deadlineMs),
      },
      emulatorEnv: emulatorEnv(quota),
      instances: { gateway: 2, 'text-generation': 2, vision: 2, 'image-generation': 2 },
      spares: 1,
      breakableRedis: true,
    })
    const names = (isRunning: boolean) =>
      fleet.members.flatMap(({ name, process }) => (isRunning === (process !== undefined) ? [name] : []))
    const plan = planFaults(randomFrom(`faults ${seed}`), long ? forMs.long : forMs.short, {
      running: names(true),
      spare: names(false),
    })
    const random = randomFrom(`chaos ${seed}`)
    const questioner = new Questioner(random, { callers: [nobody] })
    const load = startLoad({
      gateways: () => fleet.of('gateway'),
      perSecond: () => (timesOverDemanded * quota.limit) / (quota.windowMs / 1000),
      next: () => questioner.next(),
      random,
      deadlineMs,
    })
    const lastMs = plan.at(-1)?.atMs ?? 0
    const startedAt = performance.now()
    const fromMs = Date.now()
    const telling = setInterval(() => say(progress(load.tally, lastMs - (performance.now() - startedAt))), 5_000)
    const played = await playFaults(fleet, plan, say).finally(() => clearInterval(telling))
    const recovering = load.stop()
    const recovery = await healthyAfter(fleet, questioner)
    const tally = await recovering
    say(`healthy again after ${(recovery.ms / 1000).toFixed(1)} s`)
    return await judge(fleet, { tally, played, recovery, fromMs })
  },
}

interface Seen {
  tally: Awaited<ReturnType<ReturnType<typeof startLoad>['stop']>>
  played: Played
  recovery: Awaited<ReturnType<typeof healthyAfter>>
  /** When the faults began. */
  fromMs: number
}

async function judge(fleet: Fleet, { tally, played, recovery, fromMs }: Seen): Promise<Outcome> {
  const calls = await fleet.emulator.arrivals()
  const times = calls.map(({ atMs }) => atMs)
  const { refused } = await fleet.emulator.counters()
  const refusals = refused.rpm + refused.inputTpm + refused.rpd
  const most = mostInAnyWindow(times, quota.windowMs)
  const logs = readLogs(fleet)
  const { counts, complaints, longestStopMs } = played
  const isHealthy = recovery.missing.length === 0 && recovery.ms <= healthyWithinMs
  return {
    rows: [
      {
        promise: 'over-limit calls through all faults',
        asked: '0 refused by Gemini',
        measured: `${refusals} of ${figure(times.length)}`,
        kept: refusals === 0,
      },
      // Also those that a fault made fail: they reached Gemini.
      {
        promise: 'calls in any window',
        asked: `≤ ${quota.limit}`,
        measured: `${most} at most`,
        kept: most <= quota.limit,
      },
      ...commonRows(tally, logs.forbidden),
      {
        promise: 'all healthy after the last fault',
        asked: `≤ ${healthyWithinMs / 1000} s`,
        measured: `${(recovery.ms / 1000).toFixed(1)} s`,
        kept: isHealthy,
      },
      {
        promise: 'SIGTERM to the end, with code 0',
        asked: `≤ ${stopWithinMs / 1000} s`,
        measured: `${(longestStopMs / 1000).toFixed(1)} s at most, ${complaints.length} others`,
        kept: complaints.length === 0 && longestStopMs <= stopWithinMs,
      },
      {
        promise: 'faults',
        asked: '',
        measured: `${figure([...counts.values()].reduce((a, b) => a + b, 0))} of ${counts.size} kinds`,
        kept: undefined,
      },
      disturbances(tally, logs.degraded),
      {
        promise: 'quota used through all faults',
        asked: '',
        measured: `${figure((100 * times.length * quota.windowMs) / (quota.limit * (Date.now() - fromMs)))} %`,
        kept: undefined,
      },
      {
        promise: 'in flight at a gateway when it was SIGKILLed',
        asked: '',
        measured: `${tally.lostWithGateway}; gone to another gateway: ${tally.retriedElsewhere}`,
        kept: undefined,
      },
    ],
    evidence: {
      'over the limit': overLimit(calls, { ...quota, fromMs }),
      'broken answers': tally.broken,
      'log lines': logs.forbidden,
      'not healthy': recovery.missing,
      'ended badly': complaints,
    },
  }
}
