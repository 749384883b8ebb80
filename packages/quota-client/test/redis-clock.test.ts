import t from 'tap'
import { RedisClock } from '../src/redis-clock.ts'

function setting() {
  const at = { elapsed: 1000, own: 77 }
  const clock = new RedisClock({ clock: () => at.own, elapsed: () => at.elapsed })
  /** Redis said `redisMs` in answer to a question of `tookMs` ago. */
  const answer = (redisMs: number, tookMs: number) => clock.learn(redisMs, at.elapsed - tookMs)
  return { at, clock, answer }
}

t.test('is the own clock until Redis has answered', async (t) => {
  t.equal(setting().clock.nowMs(), 77)
})

t.test('an answer that came late does not set it back: use noted too early would leave too early', async (t) => {
  const { at, clock, answer } = setting()
  answer(50_000, 2)
  at.elapsed += 100
  answer(50_010, 95) // Redis said so 90 ms ago, but this process was busy
  t.ok(clock.nowMs() >= 50_100)
  t.ok(clock.nowMs() <= 50_102)
})

t.test('a quick answer narrows it down', async (t) => {
  const { at, clock, answer } = setting()
  answer(50_000, 40)
  t.equal(clock.nowMs(), 50_040, 'at the latest')
  at.elapsed += 10
  answer(50_009.5, 1)
  t.equal(clock.nowMs(), 50_010.5)
})

t.test('follows a step of Redis’s clock, forwards and back', async (t) => {
  const { at, clock, answer } = setting()
  answer(50_000, 1)
  at.elapsed += 10
  answer(90_000, 1)
  t.equal(clock.nowMs(), 90_000)
  at.elapsed += 10
  answer(20_000, 1)
  t.equal(clock.nowMs(), 20_001)
})
