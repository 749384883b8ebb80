// npm run bench:image: what image2topic of a 12-megapixel JPEG costs, beside sharp without shrink-on-load. With --write the section
// in docs/benchmarks.md is replaced. Needs redis-server.
import { processForTest, redisServerForTest, type TestContext } from '@knowalledge/testing'
import sharp from 'sharp'
import { benchmark, progress } from './benchmark.ts'
import { machine } from './benchmarks-page.ts'
import { shown } from './miss-rounds.ts'
import { childrenOf, cpuUs, pidOf, residentMiB } from './process-figures.ts'

const rounds = 9
const [width, height] = [4000, 3000]

sharp.concurrency(1) // as vision's decoder

await benchmark({ name: 'image', title: 'Images', needs: ['redis-server'], run })

async function run(t: TestContext): Promise<string> {
  const redis = await redisServerForTest(t)
  const env = { EMULATOR_LATENCY_MS: '20', EMULATOR_RPM: '1000', LOG_LEVEL: 'warn' }
  const emulator = await processForTest(t, 'packages/gemini-emulator/src/server.ts', {
    readyPath: '/emulator/counters',
    env,
  })
  const service = await processForTest(t, 'services/vision/src/server.ts', {
    env: {
      GEMINI_API_KEY: 'bench-key',
      GEMINI_BASE_URL: emulator.url,
      REDIS_URL: redis.url,
      QUOTA_NEW_POOL: 'open',
      QUOTA_RPM: '1000',
      CLIENT_SHARE_PER_DAY: '1',
    },
    readyPath: '/ready',
  })
  const pid = pidOf(service)
  const [cpuMs, wallMs, fullMs]: [number[], number[], number[]] = [[], [], []]
  let bytes = 0
  for (let round = 0; round <= rounds; round++) {
    progress(`image ${round + 1} of ${rounds + 1}`)
    const jpeg = await photo(round)
    bytes = jpeg.length
    const [before, sinceMs] = [cpuUs(pid), performance.now()]
    await ask(service.url, jpeg)
    if (round === 0) continue // starts the decoder
    cpuMs.push((cpuUs(pid) - before) / 1000)
    wallMs.push(performance.now() - sinceMs)
    fullMs.push(await withoutShrinkMs(jpeg))
  }
  const decoders = childrenOf(pid).map((child) => residentMiB(child, 'peak'))
  return [
    `Node ${process.version}, ${machine()}; ${rounds} JPEGs of ${width} × ${height} pixels, ${(bytes / 1e6).toFixed(1)} MB each, one after the other; Gemini’s emulator`,
    'answers in 20 ms. CPU is that of vision and its decoder. "±" is half the distance between the quartiles.',
    '',
    '| image2topic | measured |',
    '|---|--:|',
    `| CPU | ${shown(cpuMs)} ms |`,
    `| answer after | ${shown(wallMs)} ms |`,
    `| CPU of sharp alone, without shrink-on-load | ${shown(fullMs)} ms |`,
    `| peak memory of vision | ${residentMiB(pid, 'peak').toFixed(0)} MiB |`,
    `| peak memory of its decoder | ${Math.max(...decoders).toFixed(0)} MiB |`,
  ].join('\n')
}

/** Something like a photograph: noise that is blurred, another one for each seed. */
async function photo(seed: number): Promise<Buffer<ArrayBuffer>> {
  const noise = { type: 'gaussian', mean: 100 + 5 * seed, sigma: 60 } as const
  const picture = sharp({ create: { width, height, channels: 3, background: '#888', noise } }).blur(1.5)
  return Buffer.from(await picture.jpeg({ quality: 90 }).toBuffer())
}

async function ask(url: string, jpeg: Buffer<ArrayBuffer>): Promise<void> {
  const form = new FormData()
  form.set('image', new Blob([jpeg], { type: 'image/jpeg' }), 'photo.jpg')
  const reply = await fetch(`${url}/api/image2topic`, { method: 'POST', body: form })
  if (reply.status !== 200 || reply.headers.get('x-cache') !== 'miss')
    throw new Error(`image2topic: ${reply.status} ${await reply.text()}`)
  await reply.arrayBuffer()
}

/** CPU of sharp for the same small JPEG when the large one is decoded in full. */
async function withoutShrinkMs(jpeg: Buffer): Promise<number> {
  const before = process.cpuUsage()
  const { data, info } = await sharp(jpeg).raw().toBuffer({ resolveWithObject: true })
  await sharp(data, { raw: { width: info.width, height: info.height, channels: info.channels } })
    .resize({ width: 1024, height: 1024, fit: 'inside' })
    .jpeg({ quality: 85 })
    .toBuffer()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}
