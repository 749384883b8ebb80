import { setTimeout as sleep } from 'node:timers/promises'
import { freePort, nginxForTest, processForTest, redisServerForTest, type TestProcess } from '@knowalledge/testing'
import sharp from 'sharp'
import t, { type Test } from 'tap'

const settings = {
  LOG_LEVEL: 'warn',
  UPSTREAM_CHECK_MS: '250',
  QUOTA_NEW_POOL: 'open',
  QUOTA_RPM: '100000',
  QUOTA_RPD: '1000000',
  QUOTA_TPM: '1000000000',
  QUOTA_TPD: '1000000000',
}
const emulated = {
  EMULATOR_RPM: '100000',
  EMULATOR_RPD: '1000000',
  EMULATOR_INPUT_TPM: '1000000000',
  EMULATOR_LATENCY_MS: '30',
}

t.test('a rolling restart of every instance under load, behind the real nginx, loses no request', async (t) => {
  const redis = await redisServerForTest(t)
  const emulator = await processForTest(t, 'packages/gemini-emulator/src/server.ts', {
    readyPath: '/emulator/counters',
    env: emulated,
  })
  const env = { ...settings, REDIS_URL: redis.url, GEMINI_BASE_URL: emulator.url, GEMINI_API_KEY: 'k' }
  const pairOf = (name: string, file: string, more = {}) => startPair(t, name, { file, env: { ...env, ...more } })
  const [text, vision, image] = await Promise.all([
    pairOf('text-generation', 'services/text-generation/src/server.ts'),
    pairOf('vision', 'services/vision/src/server.ts'),
    pairOf('image-generation', 'services/image-generation/src/server.ts'),
  ])
  const gateways = await pairOf('gateway', 'gateway/src/server.ts', {
    RATE_LIMIT_PER_MINUTE: '0', // the load is one client
    MAX_IN_FLIGHT_PER_ADDRESS: '0',
    TEXT_GENERATION_URL: text.urls,
    VISION_URL: vision.urls,
    IMAGE_GENERATION_URL: image.urls,
  })
  const nginx = await nginxForTest(t, { gateways: gateways.urls.split(',') })

  const load = startLoad(nginx.url)
  for (const which of [0, 1]) {
    await Promise.all([text, vision, image, gateways].map((pair) => pair.restart(which)))
    await sleep(1_000) // the others hear within one interval that it is back; four, because the machine is busy
  }
  const { answered, lost } = await load.stop()
  t.same(lost, [])
  t.ok(answered > 100, `${answered} requests were answered meanwhile`)
  t.same(
    [...text.codes, ...vision.codes, ...image.codes, ...gateways.codes],
    Array.from({ length: 8 }, () => 0),
  )
})

interface Pair {
  urls: string
  codes: unknown[]
  restart(which: number): Promise<void>
}

async function startPair(
  t: Test,
  name: string,
  { file, env }: { file: string; env: Record<string, string> },
): Promise<Pair> {
  const ports = [await freePort(), await freePort()]
  const begin = (port: number) => processForTest(t, file, { env, port })
  const running: TestProcess[] = await Promise.all(ports.map(begin))
  const codes: unknown[] = []
  return {
    urls: running.map((instance) => instance.url).join(','),
    codes,
    async restart(which) {
      codes.push(await running[which]?.stop('SIGTERM'))
      running[which] = await begin(ports[which] as number).catch((error) => {
        throw new Error(`${name} did not come back`, { cause: error })
      })
    },
  }
}

/** A steady stream of new questions, known questions, pictures sent and pictures drawn. */
function startLoad(url: string) {
  let isOver = false
  let answered = 0
  const lost: unknown[] = []
  const json = { 'content-type': 'application/json' }
  const picture = sharp({ create: { width: 64, height: 64, channels: 3, background: 'teal' } })
    .png()
    .toBuffer()
  const asks: ((n: number) => Promise<Response>)[] = [
    (n) =>
      fetch(`${url}/api/create_subtopics`, {
        method: 'POST',
        headers: json,
        body: JSON.stringify({ topic: `Topic ${n}` }),
      }),
    () => fetch(`${url}/api/create_subtopics`, { method: 'POST', headers: json, body: '{"topic":"Known"}' }),
    (n) => fetch(`${url}/api/subtopics?topic=Topic%20${n % 7}`),
    async (n) => {
      const form = new FormData()
      form.append('image', new Blob([await picture]), 'p.png')
      form.append('language', ['en', 'es', 'fr'][n % 3] as string)
      return await fetch(`${url}/api/image2topic`, { method: 'POST', body: form })
    },
    (n) =>
      fetch(`${url}/api/generate_image`, {
        method: 'POST',
        headers: json,
        body: JSON.stringify({ prompt: `Leaf ${n % 5}` }),
      }),
  ]
  const workers = asks.map(async (ask, kind) => {
    for (let n = 0; !isOver; n++) {
      const outcome = await ask(n).then(
        async (reply) => ({ status: reply.status, body: (await reply.text()).slice(0, 200) }),
        (error) => ({ status: 0, body: String(error.cause ?? error) }),
      )
      if (outcome.status === 200) answered++
      else lost.push({ kind, n, ...outcome })
      await sleep(15)
    }
  })
  return {
    async stop() {
      isOver = true
      await Promise.all(workers)
      return { answered, lost }
    },
  }
}
