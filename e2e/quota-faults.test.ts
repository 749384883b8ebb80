import t, { type Test } from 'tap'
import { scrape } from './exposition.ts'
import { eventually, fleetForTest, logged, post } from './fleet.ts'
import { type OpenapiDocument, untruths } from './openapi-document.ts'

type Answer = Awaited<ReturnType<typeof post>>

const read = async (url: string) => (await (await fetch(url)).json()) as Record<string, unknown>
const isAnswered = ({ status }: Answer) => status === 200

/** A 503 that says in its body what Retry-After says; these seconds. */
function secondsOf(t: Test, { status, headers, body }: Answer): number {
  const seconds = headers.get('retry-after')
  t.match(seconds, /^[1-9]\d*$/)
  const text = `${seconds} ${seconds === '1' ? 'second' : 'seconds'}`
  t.match({ status, body }, { status: 503, body: { error: 'quota_unavailable', retry_after: text } })
  return Number(seconds)
}

t.test('a full Redis: what is known is answered, new questions are refused until there is room again', async (t) => {
  const { redis, text, gateway, counters } = await fleetForTest(t)
  const [service] = text as [(typeof text)[number]]
  const ask = (topic: string) => post(`${gateway.url}/api/create_subtopics`, { topic })
  const showsWritable = (expected: number) =>
    eventually(
      async () => (await scrape(service)).at('redis_writable{store="quota"}'),
      (shown) => shown === expected,
    )
  t.equal((await ask('Light')).status, 200)
  await showsWritable(1)

  const admin = redis.connect()
  await admin.config('SET', 'maxmemory', '1')
  const refused = await ask('Sound')
  secondsOf(t, refused)
  const document = (await read(`${gateway.url}/openapi.json`)) as unknown as OpenapiDocument
  const answer = { ...refused, body: JSON.stringify(refused.body) }
  t.strictSame(untruths(document, 'POST /api/create_subtopics', answer), [], 'as documented')
  t.match(await ask('Light'), { status: 200, body: { cached: true } })
  for (const url of [`${service.url}/ready`, `${gateway.url}/api/ready`])
    t.match(await read(url), {
      status: 'degraded',
      checks: {
        redis: { status: 'full', remedy: /maxmemory: make room, or raise it/ },
        quota: { status: 'unavailable' },
      },
    })
  await showsWritable(0)
  t.match(await read(`${gateway.url}/api/quota/stats`), { statistics: { degraded: true } })
  await logged(service, /"part":"quota","reason":"full","remedy":"[^"]*maxmemory.*redis unavailable, entering degraded/)

  await admin.config('SET', 'maxmemory', '0')
  await eventually(() => ask('Sound'), isAnswered)
  await showsWritable(1)
  await eventually(
    () => read(`${gateway.url}/api/ready`),
    ({ status }) => status === 'ready',
  )
  t.equal((await counters()).admitted, 2, 'a refusal costs no call')
})

t.test('an empty Redis: nothing new for one window, with its end in Retry-After, then answers', async (t) => {
  const env = { QUOTA_NEW_POOL: 'hold', QUOTA_WINDOW_MS: '20000' }
  const { text, gateway, counters } = await fleetForTest(t, { env })
  const [service] = text as [(typeof text)[number]]
  const ask = () => post(`${gateway.url}/api/create_subtopics`, { topic: 'Light' })
  const stats = () => read(`${gateway.url}/api/quota/stats`)
  const showsHold = (isSo: (seconds: number) => boolean) =>
    eventually(async () => (await scrape(service)).at('quota_hold_seconds'), isSo)

  const [refused, shown] = await Promise.all([ask(), stats()])
  const seconds = secondsOf(t, refused)
  t.ok(seconds <= 22, `${seconds} s of a window of 20 s`)
  t.match(refused.body.message, new RegExp(`on hold for ${seconds} s: there is no record of the last minute yet`))
  t.match(shown, { hold: { cause: 'empty', ends_in_seconds: Number }, statistics: { degraded: false } })
  await showsHold((seconds) => seconds > 0 && seconds <= 22)
  t.equal((await counters()).admitted, 0)
  t.match(await read(`${service.url}/ready`), {
    status: 'degraded',
    checks: { redis: { status: 'healthy' }, quota: { status: 'hold', cause: 'empty', ends_in_seconds: Number } },
  })
  await logged(service, /"cause":"empty".*quota on hold: no new answers until it ends/)

  await eventually(ask, isAnswered, 60_000)
  t.match(await stats(), { hold: null })
  await showsHold((seconds) => seconds === 0)
  const total = (await scrape(service)).at('quota_hold_seconds_total{cause="empty"}')
  t.ok(total > 0 && total <= 22, `${total} s were held, counted once`)
  t.equal((await counters()).admitted, 1)
})
