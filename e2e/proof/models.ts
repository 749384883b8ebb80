import { setTimeout as sleep } from 'node:timers/promises'
import { randomFrom } from '@knowalledge/gemini-emulator'
import type { TestContext } from '@knowalledge/testing'
import { nobody } from './callers.ts'
import { Fleet } from './fleet.ts'
import { commonRows, disturbances, progress } from './invariant.ts'
import { startLoad, type Tally } from './load.ts'
import { readLogs } from './logs.ts'
import type { Part } from './part.ts'
import { Questioner } from './questions.ts'
import type { Row } from './report.ts'

const [best, next] = ['gemini-3.8-flash', 'gemini-3.5-flash-lite'] as const
const plenty = '100000/1000000/1000M/1000000M'
const perSecond = 5
const deadlineMs = 35_000
const waveMs = 60_000
const spentMs = 10_000

/** What learners see when their best model fails for a minute, and when its day is spent: answers of the next one. */
export const models: Part = {
  name: 'models',
  async play(t: TestContext, { seed, say }) {
    const limits = (ofBest: string) => ({ QUOTA_MODEL_LIMITS: `${best}=${ofBest},${next}=${plenty}` })
    const fleet = await Fleet.start(t, {
      env: {
        GEMINI_TEXT_MODEL: `${best},${next}`,
        GEMINI_VISION_MODEL: `${best},${next}`,
        QUOTA_SCOPE: 'model',
        QUOTA_NEW_POOL: 'open', // a new pool's hold would only be waited for
        CLIENT_SHARE_PER_DAY: '1',
        UPSTREAM_TIMEOUT_MS: String(deadlineMs),
        ...limits(plenty),
      },
      emulatorEnv: { EMULATOR_RPM: '1000000', EMULATOR_RPD: '1000000', EMULATOR_INPUT_TPM: '1000000000' },
      instances: { gateway: 1, 'text-generation': 2, vision: 1, 'image-generation': 1 },
    })
    const random = randomFrom(`models ${seed}`)
    const questioner = new Questioner(random, { callers: [nobody] })
    const routes = ['create_subtopics', 'create_presentation', 'image2topic'] as const
    const askedFor = async (forMs: number, what: string): Promise<Tally> => {
      const load = startLoad({
        gateways: () => fleet.of('gateway'),
        perSecond: () => perSecond,
        next: () => questioner.next(random.pick(routes)),
        random,
        deadlineMs,
      })
      const endsAt = performance.now() + forMs
      for (let leftMs = forMs; leftMs > 0; leftMs = endsAt - performance.now()) {
        say(`${what}: ${progress(load.tally, leftMs)}`)
        await sleep(Math.min(5_000, leftMs))
      }
      return await load.stop()
    }
    await fleet.emulator.addFault({ kind: '503', match: { model: best } })
    const wave = await askedFor(waveMs, `${best} answers 503`)
    await fleet.emulator.clearFaults()
    const after = await askedFor(spentMs, `${best} answers again`)
    // A rolling deploy with a limit of the day that was used long ago.
    fleet.changed = limits('100000/1/1000M/1000000M')
    for (const member of [...fleet.of('text-generation'), ...fleet.of('vision')]) {
      await fleet.end(member, 'SIGTERM')
      await fleet.begin(member)
    }
    const callsBefore = (await fleet.emulator.counters()).byModel[best]?.admitted
    const spent = await askedFor(spentMs, `the day of ${best} is spent`)
    const callsAfter = (await fleet.emulator.counters()).byModel[best]?.admitted
    const logs = readLogs(fleet)
    const all = [wave, after, spent]
    return {
      rows: [
        answeredBy(next, `${best} answers 503 for a minute`, wave),
        answeredBy(best, `${best} answers again`, after),
        answeredBy(next, `the day of ${best} is spent`, spent),
        {
          promise: `calls of ${best} on a spent day`,
          asked: '0',
          measured: String((callsAfter ?? 0) - (callsBefore ?? 0)),
          kept: callsAfter === callsBefore,
        },
        ...commonRows(together(all), logs.forbidden),
        disturbances(wave, logs),
      ],
      evidence: { 'broken answers': together(all).broken, 'log lines': logs.forbidden },
    }
  },
}

function together(tallies: Tally[]): Parameters<typeof commonRows>[0] {
  const sum = (of: (tally: Tally) => number) => tallies.reduce((total, tally) => total + of(tally), 0)
  return {
    asked: sum(({ asked }) => asked),
    answered: sum(({ answered }) => answered),
    broken: tallies.flatMap(({ broken }) => broken),
    longestMs: Math.max(...tallies.map(({ longestMs }) => longestMs)),
  }
}

function answeredBy(model: string, when: string, { asked, answered, failedItems, models }: Tally): Row {
  const byModel = [...models].map(([name, count]) => `${count} by ${name}`).join(', ')
  return {
    promise: `every request answered while ${when}`,
    asked: `all by ${model}`,
    measured: `${answered} of ${asked}, ${failedItems} explanations failed: ${byModel}`,
    kept: answered === asked && failedItems === 0 && models.get(model) === asked,
  }
}
