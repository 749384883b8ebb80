import { setTimeout as delay } from 'node:timers/promises'
import { redisServerForTest } from '@knowalledge/testing'
import type { Redis } from 'ioredis'
import t from 'tap'
import { between, hammeringFleet, judge, limit, windowMs } from './support/hammering-fleet.ts'
import { sharedClockMs } from './support/oracle.ts'

t.test('an instance whose report arrives, but is never answered, takes nothing beside the others', async (t) => {
  const server = await redisServerForTest(t)
  const prepare = (redis: Redis, instance: number) => {
    if (instance === 0) loseAnswers(redis, 'knowalledgeQuota-reportBuffer')
  }
  const fleet = await hammeringFleet(t, server, { prepare })
  await delay(windowMs * 0.6)
  server.process.kill('SIGKILL')
  await delay(windowMs * 1.2)
  await server.restart()
  const upMs = sharedClockMs()
  await delay(windowMs * 2.5)
  await fleet.stop()
  judge(t, fleet)
  const back = between(fleet, upMs, Number.POSITIVE_INFINITY).filter(({ verdict }) => verdict.granted)
  t.ok(back.length >= limit, `the others were served: ${back.length}`)
})

/** From the second time on, the command is carried out and nobody hears of it: the first report is a newcomer's. */
function loseAnswers(redis: Redis, command: string): void {
  const commands = redis as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>
  const call = commands[command]?.bind(redis)
  let isFirst = true
  commands[command] = async (...args) => {
    const answer = await call?.(...args)
    if (!isFirst) return new Promise(() => {})
    isFirst = false
    return answer
  }
}
