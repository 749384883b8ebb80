import { setTimeout as delay } from 'node:timers/promises'
import { redisServerForTest, type TestRedisServer } from '@knowalledge/testing'
import t, { type Test } from 'tap'
import { createQuotaClient, type QuotaClient, quotaRedisOptions, type Verdict } from '../src/index.ts'
import { ask } from './support/contract.ts'
import { type Admission, most, sharedClockMs } from './support/oracle.ts'

const windowMs = 2400
const limit = 60
const instances = 3

interface Fleet {
  quotas: QuotaClient[]
  admissions: Admission[]
  verdicts: { verdict: Verdict; ms: number; atMs: number }[]
  failures: unknown[]
  stop: () => Promise<void>
}

/** Three instances, each with a connection of its own, that ask all the time until stopped. */
async function hammeringFleet(t: Test, server: TestRedisServer): Promise<Fleet> {
  const fleet: Fleet = { quotas: [], admissions: [], verdicts: [], failures: [], stop: async () => {} }
  let stopped = false
  const limits = { rpm: limit, rpd: 100_000, tpm: 1e9, tpd: 1e10 }
  for (let instance = 0; instance < instances; instance++) {
    const redis = server.connect(quotaRedisOptions())
    fleet.quotas.push(createQuotaClient({ redis, pool: 'fleet', limits, windowMs, dayTimeZone: 'Pacific/Kiritimati' }))
  }
  const strands = [...fleet.quotas, ...fleet.quotas].map(async (quota) => {
    while (!stopped) {
      const askedMs = sharedClockMs()
      try {
        const verdict = await quota.reserve(ask({ tokens: 10 }))
        const answeredMs = sharedClockMs()
        fleet.verdicts.push({ verdict, ms: answeredMs - askedMs, atMs: askedMs })
        if (verdict.granted) fleet.admissions.push({ askedMs, answeredMs, requests: 1, tokens: 10 })
      } catch (error) {
        fleet.failures.push(error)
      }
      await delay(2)
    }
  })
  fleet.stop = async () => {
    stopped = true
    await Promise.all(strands)
    await Promise.all(fleet.quotas.map((quota) => quota.close()))
  }
  t.teardown(fleet.stop)
  return fleet
}

function judge(t: Test, fleet: Fleet): void {
  const worst = most('requests', fleet.admissions, windowMs) / limit
  t.ok(worst <= 1, `at most ${worst.toFixed(4)} of the limit in any window`)
  t.same(fleet.failures, [], 'no error reached a caller')
}

function between(fleet: Fleet, fromMs: number, toMs: number) {
  return fleet.verdicts.filter(({ atMs }) => atMs >= fromMs && atMs < toMs)
}

for (const [fault, { down, up }] of Object.entries({
  'a Redis that hangs': {
    down: (server: TestRedisServer) => server.process.kill('SIGSTOP'),
    up: async (server: TestRedisServer) => server.process.kill('SIGCONT'),
  },
  'a Redis that dies and comes back empty': {
    down: (server: TestRedisServer) => server.process.kill('SIGKILL'),
    up: (server: TestRedisServer) => server.restart(),
  },
}))
  t.test(`${fault}: all instances together stay within the limit, over both seams`, async (t) => {
    const server = await redisServerForTest(t)
    const fleet = await hammeringFleet(t, server)
    await delay(windowMs * 0.6)
    const downMs = sharedClockMs()
    down(server)
    await delay(windowMs * 1.7)
    t.match(await fleet.quotas[0]?.usage(), { degraded: true, instances })
    await up(server)
    const upMs = sharedClockMs()
    await delay(windowMs * 1.7)
    const dayBefore = fleet.admissions.length
    const usage = await fleet.quotas[0]?.usage()
    const endMs = sharedClockMs()
    await fleet.stop()
    judge(t, fleet)

    const slowest = Math.max(...between(fleet, downMs, upMs).map(({ ms }) => ms))
    t.ok(slowest <= 60, `the slowest decision of the outage took ${slowest.toFixed(1)} ms`)
    const alone = between(fleet, downMs + 500, upMs).map(({ verdict }) => verdict)
    t.ok(
      alone.every((verdict) => verdict.degraded),
      'each says that it decided alone',
    )
    const grantedAlone = alone.filter((verdict) => verdict.granted).length
    t.ok(grantedAlone >= limit * 0.9, `${grantedAlone} were served in the outage, when what was used before had left`)
    const back = between(fleet, upMs + 0.7 * windowMs, endMs).map(({ verdict }) => verdict)
    t.ok(
      back.some((verdict) => verdict.granted && !verdict.degraded),
      'the fleet decides together again',
    )
    t.match(usage, { degraded: false })
    t.ok(
      (usage?.requests.perDay.current ?? 0) >= dayBefore,
      'the day holds what was used before, in and after the outage',
    )
  })

t.test('FLUSHALL and SCRIPT FLUSH under load: what was used is put back', async (t) => {
  const server = await redisServerForTest(t)
  const fleet = await hammeringFleet(t, server)
  const admin = server.connect()
  await delay(windowMs * 0.5)
  for (let turn = 0; turn < 3; turn++) {
    await admin.script('FLUSH')
    await delay(windowMs * 0.1)
    await admin.flushall()
    await delay(windowMs * 0.4)
  }
  const used = fleet.admissions.length
  const usage = await fleet.quotas[0]?.usage()
  await fleet.stop()
  judge(t, fleet)
  t.ok((usage?.requests.perDay.current ?? 0) >= used, `${usage?.requests.perDay.current} of the day for ${used} used`)
  t.ok(used >= 1.5 * limit, 'the fleet was served all the while')
})
