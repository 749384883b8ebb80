import { setTimeout as sleep } from 'node:timers/promises'
import { randomFrom } from '@knowalledge/gemini-emulator'
import type { TestContext } from '@knowalledge/testing'
import { doorEnv, keyedCallers } from './callers.ts'
import { Fleet } from './fleet.ts'
import { commonRows, disturbances, progress } from './invariant.ts'
import { startLoad } from './load.ts'
import { readLogs } from './logs.ts'
import type { Outcome, Part } from './part.ts'
import { type Question, Questioner } from './questions.ts'
import { keysWithoutExpiry } from './redis-keys.ts'
import { figure } from './report.ts'
import { handleGrowth, memoryGrowth, type Samples, startSampling } from './resources.ts'

const plenty = '1000000'
const perSecond = 20
const shareOfKnown = 0.6
const deadlineMs = 35_000
const mostHandles = 5

/** In the short form V8 has not settled yet, so it only finds what leaks fast. */
const sizes = {
  short: { warmUpMs: 40_000, forMs: 45_000, mostGrowth: 0.15 },
  long: { warmUpMs: 180_000, forMs: 600_000, mostGrowth: 0.05 },
}

/** A steady rate of known and new questions: nothing may grow that does not come to an end. */
export const soak: Part = {
  name: 'soak',
  async play(t: TestContext, { seed, long, say }) {
    const { warmUpMs, forMs, mostGrowth } = long ? sizes.long : sizes.short
    const fleet = await Fleet.start(t, {
      env: {
        QUOTA_RPM: plenty,
        QUOTA_RPD: plenty,
        ...doorEnv,
        QUOTA_TPM: '1000000000',
        QUOTA_TPD: '1000000000',
        QUOTA_NEW_POOL: 'open', // else the first minute would be refused
        // As V8 sizes its heap in the containers of k8s/. With the memory of a whole machine it collects too late to be judged, and
        // doubles the place for young objects minutes apart, up to 128 MiB, while what lives on stays at 25.
        NODE_OPTIONS: '--max-old-space-size=128 --max-semi-space-size=8',
        // Small, so that the memory that they may take is taken before it is looked at.
        CACHE_MAX_ITEMS: '100',
        CACHE_MAX_MEGABYTES: '2',
      },
      emulatorEnv: {
        EMULATOR_RPM: plenty,
        EMULATOR_RPD: plenty,
        EMULATOR_INPUT_TPM: '1000000000',
        EMULATOR_LATENCY_MS: '50',
      },
      instances: { gateway: 1, 'text-generation': 1, vision: 1, 'image-generation': 1 },
    })
    const random = randomFrom(`soak ${seed}`)
    const gateway = fleet.of('gateway')[0]?.url ?? ''
    const callers = await keyedCallers(fleet.redis.server.url, { rpm: 1_000_000, gateway })
    const questioner = new Questioner(random, { callers })
    const known: Question[] = []
    while (known.length < 40) known.push(await questioner.next())
    const load = startLoad({
      gateways: () => fleet.of('gateway'),
      perSecond: () => perSecond,
      next: () => (random.next() < shareOfKnown ? random.pick(known) : questioner.next()),
      random,
      deadlineMs,
    })
    const samples = startSampling(fleet)
    const endsAt = performance.now() + warmUpMs + forMs
    for (let leftMs = warmUpMs + forMs; leftMs > 0; leftMs = endsAt - performance.now()) {
      say(`${leftMs > forMs ? 'warming up: ' : ''}${progress(load.tally, leftMs)}; MiB: ${samples.now()}`)
      await sleep(Math.min(long ? 30_000 : 10_000, leftMs))
    }
    const tally = await load.stop()
    return await judge(fleet, { samples: await samples.stop(), warmUpMs, mostGrowth, tally })
  },
}

interface Seen {
  samples: Map<string, Samples>
  warmUpMs: number
  mostGrowth: number
  tally: Awaited<ReturnType<ReturnType<typeof startLoad>['stop']>>
}

async function judge(fleet: Fleet, { samples, warmUpMs, mostGrowth, tally }: Seen): Promise<Outcome> {
  const rows: Outcome['rows'] = [...samples].flatMap(([name, series]) => {
    const memory = memoryGrowth(series, warmUpMs)
    const handles = handleGrowth(series, warmUpMs)
    const share = memory.last / memory.first - 1
    return [
      {
        promise: `memory of ${name} flat`,
        asked: `≤ ${mostGrowth * 100} % more`,
        measured: `${figure(memory.first / 2 ** 20)} → ${figure(memory.last / 2 ** 20)} MiB (${(share * 100).toFixed(1)} %)`,
        kept: share <= mostGrowth,
      },
      {
        promise: `handles of ${name} flat`,
        asked: `≤ ${mostHandles} more`,
        measured: `${handles.first} → ${handles.last}`,
        kept: handles.last - handles.first <= mostHandles,
      },
    ]
  })
  const keys = await keysWithoutExpiry(fleet.redis.server.connect())
  const logs = readLogs(fleet)
  const others = [...tally.replies].filter(([kind]) => kind !== '200')
  // Nothing is granted without Redis, or during a hold: only a stall of the machine is a reason for that here.
  const isExplained = logs.degraded + logs.holds > 0 && others.every(([kind]) => kind === '503 quota_unavailable')
  return {
    rows: [
      ...rows,
      {
        promise: 'keys in Redis without an expiry',
        asked: '0',
        measured: `${keys.found.length} of ${figure(keys.total)}`,
        kept: keys.found.length === 0,
      },
      {
        promise: 'answers at a steady rate',
        asked: 'only 200',
        measured:
          others.map(([kind, count]) => `${count} × ${kind}`).join(', ') || `${figure(tally.answered)}, no others`,
        kept: others.length === 0 ? true : isExplained ? undefined : false,
      },
      ...commonRows(tally, logs.forbidden),
      disturbances(tally, logs),
    ],
    evidence: {
      'keys without expiry': keys.found,
      'keys by kind': keys.kinds,
      'broken answers': tally.broken,
      'log lines': logs.forbidden,
    },
  }
}
