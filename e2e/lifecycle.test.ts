import { once } from 'node:events'
import { emulatorForTest, freePortsInARow, processForTest, redisServerForTest } from '@knowalledge/testing'
import t from 'tap'
import { eventually, fleetForTest, logged, post } from './fleet.ts'

t.test('each deployable finishes what is in flight on SIGTERM and ends with code 0 within 10 s', async (t) => {
  const { gateway, text, vision, imageGeneration, emulator, counters } = await fleetForTest(t, {
    env: { EMULATOR_LATENCY_MS: '700' },
  })
  const inFlight = post(`${gateway.url}/api/create_subtopics`, { topic: 'Light' })
  await eventually(counters, ({ inFlight }) => inFlight > 0)
  const startedAt = Date.now()
  const codes = await Promise.all([
    gateway.stop(),
    ...text.map((instance) => instance.stop()),
    vision.stop(),
    imageGeneration.stop(),
  ])
  t.equal((await inFlight).status, 200)
  t.same(codes, [0, 0, 0, 0])
  t.equal(await emulator.stop(), 0)
  t.ok(Date.now() - startedAt < 10_000)
})

t.test('a wrong environment stops the start with one message that names every fault', async (t) => {
  const wrong = {
    PORT: 'http',
    QUOTA_RPM: '-5',
    REDIS_PORT: '99999999',
    LOG_LEVEL: 'shout',
    GEMINI_BASE_URL: 'nowhere',
    GEMINI_API_KEY: 'secret',
  }
  const files = [
    'gateway/src/server.ts',
    'services/text-generation/src/server.ts',
    'services/vision/src/server.ts',
    'services/image-generation/src/server.ts',
    'scripts/start.ts',
  ]
  for (const file of files) {
    const error = (await t.rejects(processForTest(t, file, { env: wrong }), {
      message: /ended with 1/,
    })) as unknown as Error
    for (const name of ['PORT="http"', 'QUOTA_RPM="-5"', 'REDIS_PORT="99999999"', 'LOG_LEVEL="shout"'])
      t.match(error.message, name, file)
    t.notMatch(error.message, /secret|at file/, file)
  }
})

t.test('without Redis a service starts, says so, and grants nothing new; what it knows it answers', async (t) => {
  const redis = await redisServerForTest(t)
  const emulator = await emulatorForTest(t)
  redis.process.kill('SIGKILL')
  await once(redis.process, 'exit')
  const service = await processForTest(t, 'services/text-generation/src/server.ts', {
    env: { REDIS_URL: redis.url, QUOTA_NEW_POOL: 'open', GEMINI_BASE_URL: emulator.baseUrl, GEMINI_API_KEY: 'k' },
  })
  const ask = (topic: string) => post(`${service.url}/api/create_subtopics`, { topic })
  const ready = async () => (await (await fetch(`${service.url}/ready`)).json()) as { status: string }
  const isRefused = (answer: Awaited<ReturnType<typeof ask>>) => {
    const after = answer.headers.get('retry-after')
    t.match(after, /^[1-9]\d*$/)
    const body = { error: 'quota_unavailable', message: /New answers are not available right now/ }
    t.match(answer, { status: 503, body: { ...body, retry_after: new RegExp(`^${after} second`) } })
  }

  isRefused(await ask('Light'))
  t.equal((await fetch(`${service.url}/ready`)).status, 200, 'it still answers what it knows')
  t.match(await ready(), {
    status: 'degraded',
    checks: {
      redis: { status: 'unreachable', remedy: /Start Redis/ },
      quota: { status: 'unavailable' },
      gemini: { status: 'configured' },
    },
  })
  await logged(service, /"part":"quota","reason":"unreachable","remedy":".*redis unavailable, entering degraded mode/)
  t.equal(emulator.counters().admitted, 0)

  await redis.restart()
  await eventually(ready, ({ status }) => status === 'ready')
  await logged(service, /"part":"quota".*redis available again, leaving degraded mode/)
  t.match(await ask('Light'), { status: 200, body: { cached: false } })

  redis.process.kill('SIGKILL')
  isRefused(await ask('Sound'))
  t.match(await ask('Light'), { status: 200, body: { cached: true } })
  t.equal(emulator.counters().admitted, 1)
})

t.test('npm start: everything in one process, nothing prepared', async (t) => {
  const all = await processForTest(t, 'scripts/start.ts', {
    readyPath: '/api/ready',
    port: await freePortsInARow(5), // the gateway's, and the four after it
  })
  t.match(await (await fetch(`${all.url}/api/ready`)).json(), { status: 'ready' })
  t.match(await post(`${all.url}/api/create_subtopics`, { topic: 'Photosynthesis' }), {
    status: 200,
    body: { count: 15 },
  })
  t.match(all.output(), new RegExp(`Gateway +${all.url}`))
  t.match(all.output(), /Gemini emulator/)
  t.match(all.output(), /curl -s .*create_subtopics/)
  t.equal(await all.stop('SIGINT'), 0)
})
