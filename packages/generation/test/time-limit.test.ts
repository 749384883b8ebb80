import { getEventListeners, once } from 'node:events'
import { mock } from 'node:test'
import t from 'tap'
import { TimeLimit, withTimeLimit } from '../src/time-limit.ts'

/** Longer than this test takes. */
const longMs = 3_600_000

t.test('aborts as its parent does, before or after it was made', async (t) => {
  const parent = new AbortController()
  const before = new TimeLimit(parent.signal, longMs)
  parent.abort(new Error('the client left'))
  t.match(before.signal.reason, { message: 'the client left' })
  t.match(new TimeLimit(parent.signal, longMs).signal.reason, { message: 'the client left' })
})

t.test('aborts with a TimeoutError when the time is over', async (t) => {
  const limit = new TimeLimit(new AbortController().signal, 1)
  const waking = setTimeout(() => {}, longMs) // its own timer keeps no process alive
  await once(limit.signal, 'abort')
  clearTimeout(waking)
  t.match(limit.signal.reason, { name: 'TimeoutError' })
})

t.test('a pause stops the time, a restart begins it anew', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const limit = new TimeLimit(new AbortController().signal, 100)
  mock.timers.tick(99)
  limit.pause()
  mock.timers.tick(100)
  t.notOk(limit.signal.aborted)
  limit.restart()
  mock.timers.tick(99)
  t.notOk(limit.signal.aborted)
  mock.timers.tick(1)
  t.ok(limit.signal.aborted)
})

t.test('nothing is left on the parent when the work is done, however it ends', async (t) => {
  const { signal } = new AbortController()
  t.equal(await withTimeLimit(signal, longMs, async () => getEventListeners(signal, 'abort').length), 1)
  await t.rejects(
    withTimeLimit(signal, longMs, async () => {
      throw new Error('failed')
    }),
    { message: 'failed' },
  )
  t.same(getEventListeners(signal, 'abort'), [])
})
