import { MessageChannel } from 'node:worker_threads'
import t from 'tap'
import { type Clock, withDeadline } from '../src/index.ts'

/** A clock that the test sets. */
class TestClock implements Clock {
  nowMs = 0
  #timers: { dueMs: number; callback: () => void }[] = []

  monotonicMs(): number {
    return this.nowMs
  }

  setTimer(callback: () => void, ms: number) {
    const timer = { dueMs: this.nowMs + ms, callback }
    this.#timers.push(timer)
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((one) => one !== timer)
      },
    }
  }

  get pending(): number {
    return this.#timers.length
  }

  pass(ms: number): void {
    this.nowMs += ms
    const due = this.#timers.filter(({ dueMs }) => dueMs <= this.nowMs)
    this.#timers = this.#timers.filter(({ dueMs }) => dueMs > this.nowMs)
    for (const { callback } of due) callback()
  }
}

const never = new Promise<never>(() => {})

t.test('an answer or a failure in time is passed on, and leaves no timer', async (t) => {
  const clock = new TestClock()
  t.equal(await withDeadline(Promise.resolve('answer'), 100, clock), 'answer')
  await t.rejects(withDeadline(Promise.reject(new Error('failed')), 100, clock), { message: 'failed' })
  t.equal(clock.pending, 0)
})

t.test('an answer that does not come is an error after the deadline', async (t) => {
  const clock = new TestClock()
  const late = withDeadline(never, 100, clock)
  clock.pass(99)
  t.equal(clock.pending, 1)
  clock.pass(1)
  await t.rejects(late, { message: 'Redis did not answer within 100 ms' })
})

t.test('a stall of this process starts the time again, and an answer after it counts', async (t) => {
  const clock = new TestClock()
  const answer = Promise.withResolvers<string>()
  const answered = withDeadline(answer.promise, 100, clock)
  clock.pass(500)
  answer.resolve('after a stall')
  t.equal(await answered, 'after a stall')
})

t.test('the time starts again five times at most', async (t) => {
  const clock = new TestClock()
  const late = withDeadline(never, 100, clock)
  for (let stall = 0; stall < 5; stall++) {
    clock.pass(500)
    t.equal(clock.pending, 1)
  }
  clock.pass(500)
  await t.rejects(late, { message: /within 100 ms/ })
})

t.test('an answer that arrived while the event loop was busy is in time', async (t) => {
  const { port1, port2 } = new MessageChannel()
  t.teardown(() => port1.close())
  const answer = new Promise((resolve) => port1.once('message', resolve))
  await new Promise(setImmediate) // after this phase of the event loop come the timers, and only then the input
  const answered = withDeadline(answer, 5)
  port2.postMessage('in time')
  for (const untilMs = performance.now() + 15; performance.now() < untilMs; );
  t.equal(await answered, 'in time')
})
