import { once } from 'node:events'
import { isDeepStrictEqual } from 'node:util'
import { redisServerForTest } from '@knowalledge/testing'
import fc from 'fast-check'
import t from 'tap'
import { CalendarDay } from '../src/calendar-day.ts'
import { StoreBackedQuota } from '../src/client.ts'
import { MemoryStore } from '../src/memory-store.ts'
import type { PauseRequest, Priority, Reservation, Tenant, Verdict } from '../src/types.ts'
import { FakeClock } from './support/fake-redis-clock.ts'
import { patientConnection } from './support/patience.ts'

const limits = { rpm: 12, rpd: 60, tpm: 1200, tpd: 9000 }
const windowMs = 24_000
const tenants: (Tenant | undefined)[] = [
  undefined,
  undefined,
  { id: 'a', limits: { rpm: 5, tpm: 700 } },
  { id: 'b', limits: { rpd: 8 } },
]

type Step =
  | { kind: 'reserve'; requests: number; tokens: number; priority: Priority; tenant: number }
  | { kind: 'settle'; which: number; share: number }
  | { kind: 'release'; which: number }
  | { kind: 'pass'; ms: number }
  | { kind: 'pause'; request: PauseRequest['limitType']; forMs: number | undefined }

const reserve = fc.record({
  kind: fc.constant('reserve' as const),
  requests: fc.integer({ min: 1, max: 4 }),
  tokens: fc.integer({ min: 0, max: 400 }),
  priority: fc.constantFrom<Priority>('interactive', 'batch'),
  tenant: fc.nat(tenants.length - 1),
})
const settle = fc.record({
  kind: fc.constant('settle' as const),
  which: fc.nat(20),
  share: fc.double({ min: 0, max: 2, noNaN: true }),
})
const release = fc.record({ kind: fc.constant('release' as const), which: fc.nat(20) })
const onward = [0, 1, 99, 100, 101, 1000, 5000, 23_900, 24_000, 24_100, 24_101, 60_000, 3_600_000, 86_400_000]
const pass = (ms: number[]) => fc.record({ kind: fc.constant('pass' as const), ms: fc.constantFrom(...ms) })
const pause = fc.record({
  kind: fc.constant('pause' as const),
  request: fc.constantFrom<PauseRequest['limitType']>('rpm', 'rpd', 'tpm', 'upstream'),
  forMs: fc.constantFrom(undefined, 500, 10_000),
})
const plays = {
  'a clock that also steps back': fc.array(
    fc.oneof({ weight: 5, arbitrary: reserve.map((step) => ({ ...step, tenant: 0 })) }, settle, release, {
      weight: 2,
      arbitrary: pass([...onward, -1, -50, -150, -20_000, -30_000, -7_200_000]),
    }),
    { minLength: 5, maxLength: 60 },
  ),
  'pauses and shrunk limits': fc.array(
    fc.oneof({ weight: 6, arbitrary: reserve }, settle, release, { weight: 3, arbitrary: pass(onward) }, pause),
    { minLength: 5, maxLength: 60 },
  ),
}

/** Around both DST days of Los Angeles, and an ordinary midnight; in the future, lest Redis find the keys expired. */
const starts = [
  '2037-03-08T07:59:00Z',
  '2037-03-08T09:59:50Z',
  '2037-11-01T06:59:30Z',
  '2037-11-02T07:59:55Z',
  '2037-07-01T06:59:59Z',
]

t.test('decides in Redis exactly as in memory', async (t) => {
  const server = await redisServerForTest(t)
  const redis = patientConnection(server)
  await once(redis, 'ready')
  let pools = 0
  for (const [name, steps] of Object.entries(plays))
    t.test(name, async () => {
      await fc.assert(
        fc.asyncProperty(steps, fc.constantFrom(...starts), async (play, start) => {
          const clock = new FakeClock(redis, start)
          const settings = { pool: `twins-${pools++}`, limits, windowMs }
          const shared = await clock.client(redis, settings)
          const memory = new MemoryStore({
            ...settings,
            safetyMargin: 0.7,
            day: new CalendarDay('America/Los_Angeles'),
            clock: () => clock.nowMs,
          })
          const twins = [shared, new StoreBackedQuota(memory, { limits, safetyMargin: 0.7 })] as const
          const held: (readonly [Reservation, Reservation])[] = []
          for (const step of play as Step[]) {
            if (step.kind === 'pass') {
              // Redis remembers only times at which it wrote, so let it write before and after a step back.
              const write = () => Promise.all(twins.map((twin) => twin.pause({ limitType: 'rpm', untilMs: 1 })))
              if (step.ms < 0) await write()
              await clock.move(step.ms, step.ms < 0 ? windowMs / 240 : step.ms)
              if (step.ms < 0) await write()
            } else if (step.kind === 'reserve') {
              const request = { ...step, tenant: tenants[step.tenant] }
              const [shared, local] = [await twins[0].reserve(request), await twins[1].reserve(request)]
              same(shown(shared), shown(local), step)
              if (shared.granted && local.granted) held.push([shared.reservation, local.reservation])
            } else if (step.kind === 'pause') {
              const untilMs = step.forMs === undefined ? undefined : clock.nowMs + step.forMs
              for (const twin of twins) await twin.pause({ limitType: step.request, untilMs })
            } else
              for (const reservation of held[step.which] ?? [])
                if (step.kind === 'release') reservation.release()
                else reservation.settle(Math.floor(reservation.tokens * step.share))
            same(await figures(twins[0]), await figures(twins[1]), step)
          }
          await shared.close()
        }),
        { numRuns: 150 },
      )
    })
})

function shown(verdict: Verdict): unknown {
  return verdict.granted ? true : verdict
}

async function figures(quota: StoreBackedQuota): Promise<unknown> {
  const { requests, tokens, pause } = await quota.usage()
  return { requests, tokens, pause }
}

function same(one: unknown, other: unknown, step: Step): void {
  if (isDeepStrictEqual(one, other)) return
  throw new Error(`after ${JSON.stringify(step)} Redis says\n${inspect(one)}\nand memory\n${inspect(other)}`)
}

function inspect(value: unknown): string {
  return JSON.stringify(value)
}
