import { readFile } from 'node:fs/promises'
import { mock } from 'node:test'
import { Semaphore } from '@knowalledge/generation'
import { hostileImages } from '@knowalledge/testing'
import sharp from 'sharp'
import t, { type Test } from 'tap'
import { Decoder } from '../src/decoder.ts'
import { DecoderPool, type DecoderPoolOptions } from '../src/decoder-pool.ts'
import { ImageError } from '../src/image-error.ts'
import { solid } from './images.ts'

const never = new AbortController().signal
const admitAll = async () => {}

/** Memory of which nothing is left until `open()`: a decoder waits with its image, and others wait for the decoder. */
class ClosedMemory extends Semaphore {
  readonly #asked = Promise.withResolvers<void>()
  readonly asked = this.#asked.promise

  constructor() {
    super(1_000_000)
    this.tryAcquire(this.capacity)
  }

  override async acquire(units: number, signal: AbortSignal): Promise<void> {
    this.#asked.resolve()
    await super.acquire(units, signal)
  }

  open(): void {
    this.release(this.capacity)
  }
}

function poolForTest(t: Test, options: DecoderPoolOptions): DecoderPool {
  const pool = new DecoderPool(options)
  t.teardown(() => pool.close())
  return pool
}

function decoderForTest(t: Test): Decoder {
  const decoder = new Decoder({ timeoutMs: 60_000 })
  t.teardown(() => decoder.close())
  return decoder
}

/** Never 0, which as an argument of kill is every process of the group. */
function pidOf({ pid }: Decoder): number {
  if (!pid) throw new Error('the decoder has no process')
  return pid
}

t.test('prepares images one after the other in one process, and tells what is wrong with a bad one', async (t) => {
  const decoder = decoderForTest(t)
  t.equal(decoder.pid, undefined, 'none before the first image')
  t.match(await decoder.prepare([await solid('red')], admitAll), { format: 'png', mimeType: 'image/jpeg', width: 64 })
  const pid = pidOf(decoder)
  const error = await decoder.prepare([Buffer.from('no image')], admitAll).catch((thrown: unknown) => thrown)
  t.ok(error instanceof ImageError)
  t.match(error, { problem: 'unsupported_type', message: /Send a PNG/ })
  const large = await solid('blue', { width: 3000, height: 2000 })
  const padding = Buffer.alloc(10 * 1024 * 1024 - large.length)
  const { bytes, ...prepared } = await decoder.prepare([large, padding], admitAll)
  t.match(prepared, { width: 1024, height: 683 })
  t.match(await sharp(bytes).metadata(), { format: 'jpeg', width: 1024 })
  t.equal(decoder.pid, pid)
})

t.test('a decode that passes its time is ended: its process is gone, and the next image has a new one', async (t) => {
  const decoder = decoderForTest(t)
  await decoder.prepare([await solid('red')], admitAll)
  const pid = pidOf(decoder)
  const slow = hostileImages.png(7_000, 7_000, { kind: 'rgb', interlaced: true }) // half a second of CPU
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const decoding = decoder.prepare([slow], async () => void setImmediate(() => mock.timers.tick(60_000)))
  await t.rejects(decoding, { problem: 'too_slow', message: /not decoded within 60 seconds\. Send a smaller one/ })
  mock.timers.reset()
  t.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
  t.match(await decoder.prepare([await solid('blue')], admitAll), { width: 64 })
  t.not(decoder.pid, pid)
})

t.test('a decoder process that dies fails only its own image', async (t) => {
  const decoder = decoderForTest(t)
  await t.rejects(
    decoder.prepare([await solid('red')], async () => void process.kill(pidOf(decoder), 'SIGKILL')),
    { message: "the decoder's process ended: SIGKILL" },
  )
  t.match(await decoder.prepare([await solid('red')], admitAll), { width: 64 })
})

t.test(
  'the decoder process has no secrets, ignores Ctrl-C, and is the one that Linux kills when memory runs out',
  { skip: process.platform !== 'linux' },
  async (t) => {
    process.env.GEMINI_API_KEY = 'secret'
    const decoder = decoderForTest(t)
    await decoder.prepare([await solid('red')], admitAll)
    const pid = pidOf(decoder)
    const about = (file: string) => readFile(`/proc/${pid}/${file}`, 'utf8')
    t.notMatch(await about('environ'), /GEMINI|secret/)
    t.equal((await about('oom_score_adj')).trim(), '1000')
    process.kill(pid, 'SIGINT')
    process.kill(pid, 'SIGTERM')
    await decoder.prepare([await solid('blue')], admitAll)
    t.equal(decoder.pid, pid)
  },
)

t.test('an image whose client left while it waited for a decoder is not decoded', async (t) => {
  const memory = new ClosedMemory()
  const pool = poolForTest(t, { decoders: 1, memory })
  const first = pool.prepare([await solid('red')], never)
  await memory.asked
  const client = new AbortController()
  const second = pool.prepare([await solid('green')], client.signal)
  const third = pool.prepare([await solid('blue')], never)
  client.abort(new Error('left'))
  await t.rejects(second, { message: 'left' })
  memory.open()
  t.match(await Promise.all([first, third]), [{ width: 64 }, { width: 64 }])
})

t.test(
  'an image whose client left while it waited for memory is not decoded, and its decoder is free again',
  async (t) => {
    const memory = new ClosedMemory()
    const pool = poolForTest(t, { decoders: 1, memory })
    const client = new AbortController()
    const first = pool.prepare([await solid('red')], client.signal)
    await memory.asked
    client.abort(new Error('left'))
    await t.rejects(first, { message: 'left' })
    memory.open()
    t.match(await pool.prepare([await solid('blue', { width: 32 })], never), { width: 32 })
    t.equal(memory.held, 0)
  },
)

t.test('decoders share their memory: two images that need more than it are decoded one after the other', async (t) => {
  const peaks: number[] = []
  class Watched extends Semaphore {
    override async acquire(units: number, signal: AbortSignal): Promise<void> {
      await super.acquire(units, signal)
      peaks.push(this.held)
    }
  }
  const memory = new Watched(64 * 48 * 3 + 1)
  const pool = poolForTest(t, { decoders: 2, memory })
  await Promise.all([pool.prepare([await solid('red')], never), pool.prepare([await solid('blue')], never)])
  t.same(peaks, [64 * 48 * 3, 64 * 48 * 3])
  t.equal(memory.held, 0)
})

t.test('an image for which no decoder is free in time gets a 503 with Retry-After', async (t) => {
  const memory = new ClosedMemory()
  const pool = poolForTest(t, { decoders: 1, memory, maxWaitMs: 20 })
  const first = pool.prepare([await solid('red')], never)
  await memory.asked
  await t.rejects(pool.prepare([await solid('blue')], never), {
    code: 'overloaded',
    statusCode: 503,
    retryAfterSeconds: 1,
    message: /Every image decoder is busy/,
  })
  memory.open()
  await first
})
