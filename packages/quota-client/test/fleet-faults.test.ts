import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { redisServerForTest, type TestRedisServer } from '@knowalledge/testing'
import t from 'tap'
import { between, hammeringFleet, instances, judge, limit, together, windowMs } from './support/hammering-fleet.ts'
import { sharedClockMs } from './support/oracle.ts'

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
    const stall = monitorEventLoopDelay({ resolution: 1 })
    stall.enable()
    down(server)
    await delay(windowMs * 1.7)
    stall.disable()
    t.match(await fleet.quotas[0]?.usage(), { degraded: true, instances })
    await up(server)
    const upMs = sharedClockMs()
    await delay(windowMs * 1.7)
    const dayBefore = fleet.admissions.length
    const usage = await together(fleet)
    const endMs = sharedClockMs()
    await fleet.stop()
    judge(t, fleet)

    const slowest = Math.max(...between(fleet, downMs, upMs).map(({ ms }) => ms))
    const stalledMs = stall.max / 1e6
    t.ok(
      slowest - stalledMs <= 60,
      `the slowest decision of the outage took ${slowest} ms, of them stalled ${stalledMs}`,
    )
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
    t.ok(usage.requests.perDay.current >= dayBefore, 'the day holds what was used before, in and after the outage')
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
