import { setTimeout as sleep } from 'node:timers/promises'
import { randomFrom } from '@knowalledge/gemini-emulator'
import type { TestContext } from '@knowalledge/testing'
import { doorEnv, keyedCallers } from './callers.ts'
import { Fleet } from './fleet.ts'
import { startLoad, type Tally } from './load.ts'
import { type LogFindings, readLogs } from './logs.ts'
import { mostOfAnyModel, overLimit, timesByModel, usedShare } from './oracle.ts'
import type { Outcome, Part } from './part.ts'
import { Questioner } from './questions.ts'
import { figure } from './report.ts'

/**
 * A charge stays for the window, the transit, a slack of 1/240 and up to one bucket of 1/240. With a transit of 1/160 at
 * least 98.5 % of the quota can be used: half a percent is left for the time that a place waits for the next call.
 */
const transitShare = 1 / 160
const timesOverDemanded = 10
const deadlineMs = 35_000

const sizes = {
  short: { windowMs: 60_000, windows: 2, limit: 30 }, // shorter windows have transits that a busy machine exceeds
  long: { windowMs: 60_000, windows: 5, limit: 30 },
}

/** Text and vision share two models; the third draws, and gets too few requests to be judged by the use of its quota. */
const chain = ['gemini-3.8-flash', 'gemini-3.5-flash-lite'] as const
export const poolCount = chain.length + 1

/** A pool for each model under ten times the demand it can serve, without faults: never over one, and nearly all of both used. */
export const invariant: Part = {
  name: 'invariant',
  async play(t: TestContext, { seed, long, say }) {
    const { windowMs, windows, limit } = long ? sizes.long : sizes.short
    const fleet = await Fleet.start(t, {
      env: {
        ...quotaEnv({ limit, windowMs }),
        QUOTA_TRANSIT_MS: String(Math.round(windowMs * transitShare)),
        QUOTA_NEW_POOL: 'open', // a new pool's hold would only be waited for
        UPSTREAM_TIMEOUT_MS: String(deadlineMs),
        ...doorEnv,
      },
      emulatorEnv: emulatorEnv({ limit, windowMs }),
      instances: { gateway: 2, 'text-generation': 2, vision: 2, 'image-generation': 2 },
    })
    const random = randomFrom(`invariant ${seed}`)
    const gateway = fleet.of('gateway')[0]?.url ?? ''
    const callers = await keyedCallers(fleet.redis.server.url, { rpm: Math.ceil(limit / 4), gateway })
    const questioner = new Questioner(random, { callers })
    const quotaPerSecond = (poolCount * limit) / (windowMs / 1000)
    let demand = 1.5 // of the quota: for one window, so that its use is spread over the window as time spreads it
    const load = startLoad({
      gateways: () => fleet.of('gateway'),
      perSecond: () => demand * quotaPerSecond,
      next: () => questioner.next(),
      random,
      deadlineMs,
    })
    await passing(windowMs, (leftMs) => say(`spreading the use: ${progress(load.tally, leftMs)}`))
    demand = timesOverDemanded
    const steadyFromMs = Date.now()
    await passing((windows + 0.1) * windowMs, (leftMs) => say(progress(load.tally, leftMs)))
    return await judge(fleet, await load.stop(), { windowMs, windows, limit, steadyFromMs })
  },
}

/** The emulator keeps the very limits that the system is told, for each model, by itself. */
export function quotaEnv({ limit, windowMs }: { limit: number; windowMs: number }): Record<string, string> {
  return {
    GEMINI_TEXT_MODEL: chain.join(),
    GEMINI_VISION_MODEL: chain.join(),
    QUOTA_SCOPE: 'model',
    QUOTA_RPM: String(limit),
    QUOTA_TPM: '10000000',
    // Each restart of Redis adds one window's limit to the day's counts: room for as many as a run plays.
    QUOTA_RPD: '1000000',
    QUOTA_TPD: '1000000000',
    QUOTA_WINDOW_MS: String(windowMs),
  }
}

export function emulatorEnv({ limit, windowMs }: { limit: number; windowMs: number }): Record<string, string> {
  return {
    EMULATOR_RPM: String(limit),
    EMULATOR_RPD: '1000000',
    EMULATOR_INPUT_TPM: '10000000',
    EMULATOR_WINDOW_MS: String(windowMs),
    EMULATOR_LIMITS_PER: 'model',
    EMULATOR_LATENCY_MS: '200',
  }
}

/** Lets time pass, and tells every five seconds how much is left. */
async function passing(forMs: number, tell: (leftMs: number) => void): Promise<void> {
  const endsAt = performance.now() + forMs
  for (let leftMs = forMs; leftMs > 0; leftMs = endsAt - performance.now()) {
    tell(leftMs)
    await sleep(Math.min(5_000, leftMs))
  }
}

export function progress({ asked, answered, replies, broken }: Tally, leftMs: number): string {
  const others = [...replies].filter(([kind]) => kind !== '200').map(([kind, count]) => `${figure(count)} × ${kind}`)
  const wrong = broken.length > 0 ? `, ${broken.length} BROKEN` : ''
  return `${figure(Math.max(0, leftMs) / 1000)} s left: ${figure(asked)} asked, ${figure(answered)} answered, ${others.join(', ')}${wrong}`
}

async function judge(
  fleet: Fleet,
  tally: Tally,
  { steadyFromMs, ...run }: { windowMs: number; windows: number; limit: number; steadyFromMs: number },
): Promise<Outcome> {
  const { windowMs, limit } = run
  const calls = await fleet.emulator.arrivals()
  const times = calls.map(({ atMs }) => atMs)
  const { refused } = await fleet.emulator.counters()
  const refusals = refused.rpm + refused.inputTpm + refused.rpd
  const most = mostOfAnyModel(calls, windowMs)
  const byModel = timesByModel(calls)
  const usedBy = (model: string) => {
    const steady = byModel.get(model)?.filter((atMs) => atMs >= steadyFromMs) ?? []
    return usedShare(steady, run)
  }
  const logs = readLogs(fleet)
  const unexpected = [...tally.replies].filter(([kind]) => kind !== '200' && kind !== '429 quota_exceeded')
  return {
    rows: [
      {
        promise: `over-limit calls at ${timesOverDemanded} × the demand`,
        asked: '0 refused by Gemini',
        measured: `${refusals} of ${figure(times.length)}`,
        kept: refusals === 0,
      },
      {
        promise: 'calls of each model in any window',
        asked: `≤ ${limit}`,
        measured: `${most} at most`,
        kept: most <= limit,
      },
      ...chain.map((model) => {
        const used = usedBy(model)
        const measured = `${(used * 100).toFixed(2)} %`
        return { promise: `quota of ${model} used`, asked: '≥ 98 %', measured, kept: used >= 0.98 }
      }),
      {
        promise: 'answers without faults',
        asked: 'only 200 and 429 quota_exceeded',
        measured: unexpected.map(([kind, count]) => `${count} × ${kind}`).join(', ') || 'no others',
        kept: unexpected.length === 0,
      },
      ...commonRows(tally, logs.forbidden),
      disturbances(tally, logs),
    ],
    evidence: {
      'over the limit': overLimit(calls, { ...run, fromMs: steadyFromMs }),
      'broken answers': tally.broken,
      'log lines': logs.forbidden,
    },
  }
}

/** What is asked of every part with load. */
export function commonRows(
  tally: Pick<Tally, 'asked' | 'answered' | 'broken' | 'longestMs'>,
  forbidden: readonly string[],
): Outcome['rows'] {
  const { asked, answered, broken, longestMs } = tally
  return [
    {
      promise: 'every answer whole, of its own question, as the contract says',
      asked: '0 others',
      measured: `${broken.length} of ${figure(asked)} asked, ${figure(answered)} answered; longest ${(longestMs / 1000).toFixed(1)} s`,
      kept: broken.length === 0,
    },
    {
      promise: 'internal or uncaught errors in any log',
      asked: '0',
      measured: String(forbidden.length),
      kept: forbidden.length === 0,
    },
  ]
}

/** A machine that stalls is a fault too: what it did is told beside what it may explain, and excuses nothing. */
export function disturbances(
  { driverLateMs }: Tally,
  { degraded, holds }: Pick<LogFindings, 'degraded' | 'holds'>,
): Outcome['rows'][number] {
  return {
    promise: 'disturbances by this machine',
    asked: '',
    measured: `Redis unavailable to a process: ${degraded} times; holds seen by one: ${holds}; this driver late by ${figure(driverLateMs)} ms at most`,
    kept: undefined,
  }
}
