import { once } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { Feed } from '../../src/ops/feed.ts'

/** A feed of 1, 2, 3 …; each reading waits until the test lets it through. */
function feedForTest(dropAfterMs: number) {
  let readings = 0
  let gate = Promise.withResolvers<void>()
  const read = async () => {
    readings++
    await gate.promise
    gate = Promise.withResolvers()
    return readings
  }
  const feed = new Feed<number>({ read, everyMs: 0, dropAfterMs, onError: (error) => t.fail(String(error)) })
  /** Lets one reading through; resolves when its state was sent and the next one has begun. */
  const next = async () => {
    const before = readings
    gate.resolve()
    while (readings === before && feed.watchers > 0) await setImmediate()
  }
  return { feed, next, readings: () => readings, release: () => gate.resolve() }
}

const eventOf = (state: number) => `event: state\ndata: ${state}\n\n`

t.test('a slow reader gets the newest state, and none of those that came meanwhile', async (t) => {
  const { feed, next, release } = feedForTest(60_000)
  t.teardown(() => {
    feed.close()
    release()
  })
  const stream = feed.watch(String).setEncoding('utf8')
  const got: string[] = []
  stream.on('data', (event) => got.push(event))
  const gets = async (count: number) => {
    while (got.length < count) await setImmediate()
  }
  await next()
  await gets(1)
  stream.pause()
  for (let n = 0; n < 10; n++) await next()
  t.equal(got.length, 1)
  stream.resume()
  await gets(3)
  t.same(got, [1, 2, 11].map(eventOf), 'the one that the stream had taken already, and the newest')
  await next()
  await gets(4)
  t.equal(got[3], eventOf(12), 'a reader that takes all gets all')
})

t.test('nothing is read while nobody watches', async (t) => {
  const { feed, next, readings, release } = feedForTest(60_000)
  t.teardown(() => {
    feed.close()
    release()
  })
  await setImmediate()
  t.equal(readings(), 0)
  const stream = feed.watch(String)
  stream.resume()
  t.equal(readings(), 1)
  await next()
  stream.destroy()
  await once(stream, 'close')
  release()
  for (let n = 0; n < 5; n++) await setImmediate()
  const after = readings()
  for (let n = 0; n < 5; n++) await setImmediate()
  t.equal(readings(), after)
  feed.watch(String).resume()
  while (readings() === after) await setImmediate()
  t.equal(readings(), after + 1, 'and again when somebody does')
})

t.test('a reader that takes nothing for too long is dropped', async (t) => {
  const { feed, next, release } = feedForTest(-1)
  t.teardown(() => {
    feed.close()
    release()
  })
  const stream = feed.watch(String)
  for (let n = 0; n < 5 && !stream.destroyed; n++) await next()
  t.equal(stream.destroyed, true)
  t.equal(feed.watchers, 0)
})

t.test('a reading that fails ends the streams, and the next watcher starts again', async (t) => {
  let fails = true
  const errors: unknown[] = []
  const feed = new Feed<number>({
    read: async () => {
      if (fails) throw new Error('no')
      return 1
    },
    everyMs: 0,
    dropAfterMs: 1_000,
    onError: (error) => errors.push(error),
  })
  t.teardown(() => feed.close())
  await once(feed.watch(String), 'close')
  t.match(errors, [{ message: 'no' }])
  fails = false
  const [event] = await once(feed.watch(String).setEncoding('utf8'), 'data')
  t.equal(event, eventOf(1))
})
