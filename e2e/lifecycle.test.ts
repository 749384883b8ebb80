import { freePortsInARow, processForTest } from '@knowalledge/testing'
import t from 'tap'
import { eventually, fleetForTest, post } from './fleet.ts'

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

t.test('without Redis a service starts, serves degraded and says so', async (t) => {
  const emulator = await processForTest(t, 'packages/gemini-emulator/src/server.ts', {
    readyPath: '/emulator/counters',
  })
  const service = await processForTest(t, 'services/text-generation/src/server.ts', {
    env: { REDIS_URL: 'redis://127.0.0.1:1', GEMINI_BASE_URL: emulator.url, GEMINI_API_KEY: 'k' },
  })
  const ready = await fetch(`${service.url}/ready`)
  t.equal(ready.status, 200)
  t.match(await ready.json(), {
    status: 'degraded',
    checks: { redis: { status: 'unreachable' }, gemini: { status: 'configured' } },
  })
  t.match(await post(`${service.url}/api/create_subtopics`, { topic: 'Light' }), {
    status: 200,
    body: { cached: false },
  })
  t.match(await post(`${service.url}/api/create_subtopics`, { topic: 'Light' }), {
    status: 200,
    body: { cached: true },
  })
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
