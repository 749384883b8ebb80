import { createHash } from 'node:crypto'
import { crc32, deflateSync } from 'node:zlib'
import { nginxForTest } from '@knowalledge/testing'
import t from 'tap'
import { fleetForTest, post } from './fleet.ts'

const { gateways, counters } = await fleetForTest(t, {
  gateways: 2,
  env: { EMULATOR_LATENCY_MS: '300', EMULATOR_RPM: '100', QUOTA_RPM: '100' },
})
const edge = await nginxForTest(t, { gateways: gateways.map((gateway) => gateway.url) })

const light = '/api/subtopics?topic=Light&language=en'

/** Of every answer that came from the edge, so that the log can be waited for. */
const requestIds: string[] = []
const remember = ({ headers }: { headers: Headers }) => requestIds.push(headers.get('x-request-id') ?? '')

async function get(path: string, headers: Record<string, string> = {}) {
  const reply = await fetch(edge.url + path, { headers })
  remember(reply)
  return {
    status: reply.status,
    headers: reply.headers,
    cache: reply.headers.get('x-edge-cache'),
    text: await reply.text(),
  }
}

async function askedOfGateways(path: string): Promise<number> {
  return (await edge.accessLog(requestIds)).filter((line) => line.path === path && line.upstream !== '').length
}

t.test('an answer is made once: MISS, then HIT without asking a gateway', async (t) => {
  const first = await get(light)
  t.match(first, { status: 200, cache: 'MISS' })
  t.match(JSON.parse(first.text), { count: 15, cached: false })
  t.equal(first.headers.get('cache-control'), 'public, max-age=300, s-maxage=900, stale-if-error=86400')

  const second = await get(light)
  t.match(second, { status: 200, cache: 'HIT', text: first.text })
  t.equal((await counters()).admitted, 1)
  t.equal(await askedOfGateways('/api/subtopics'), 1)
  t.not(second.headers.get('x-request-id'), first.headers.get('x-request-id'), 'an id of its own, not the cached one')
})

t.test('who has the answer already gets 304', async (t) => {
  const { headers } = await get(light)
  const again = await get(light, { 'if-none-match': headers.get('etag') ?? '' })
  t.match(again, { status: 304, cache: 'HIT', text: '' })
  t.match(await get(light, { 'if-none-match': 'W/"another"' }), { status: 200, cache: 'HIT' })
})

t.test('without a language in the question, each language that a browser asks for has its own copy', async (t) => {
  const question = '/api/subtopics?topic=Water'
  const spanish = await get(question, { 'accept-language': 'es' })
  const german = await get(question, { 'accept-language': 'de' })
  t.match([spanish, german], [{ cache: 'MISS' }, { cache: 'MISS' }])
  t.not(spanish.text, german.text)
  t.match(await get(question, { 'accept-language': 'es' }), { cache: 'HIT', text: spanish.text })
  t.match(await get(question, { 'accept-language': 'de' }), { cache: 'HIT', text: german.text })
})

t.test('a burst of one question is one request to the gateways', async (t) => {
  const before = (await counters()).admitted
  const asked = Array.from({ length: 200 }, () =>
    get('/api/explanation?topic=Light&subtopic=Colour&educationLevel=school&levelOfDetail=normal&language=en'),
  )
  const replies = await Promise.all(asked)
  t.strictSame([...new Set(replies.map((reply) => reply.status))], [200])
  t.equal(new Set(replies.map((reply) => reply.text)).size, 1)
  t.equal((await counters()).admitted - before, 1)
  t.equal(await askedOfGateways('/api/explanation'), 1)
})

t.test('a picture by its hash: MISS, HIT, 304', async (t) => {
  const drawn = await post(`${edge.url}/api/generate_image`, { prompt: 'A leaf' })
  t.equal(drawn.headers.get('x-edge-cache'), 'BYPASS')
  const path = String(drawn.body.url)
  t.match(await get(path), { status: 200, cache: 'MISS' })
  const reply = await fetch(edge.url + path)
  t.equal(reply.headers.get('x-edge-cache'), 'HIT')
  const bytes = Buffer.from(await reply.arrayBuffer())
  t.equal(createHash('sha256').update(bytes).digest('hex'), path.split('/').at(-1))
  t.match(await get(path, { 'if-none-match': reply.headers.get('etag') ?? '' }), { status: 304 })
})

t.test(
  'a picture of 10 MiB gets through, one byte more is refused by the service, much more by the edge',
  async (t) => {
    const limit = 10 * 1024 * 1024
    const upload = async (bytes: number) => {
      const form = new FormData()
      form.set('image', new Blob([pictureOf(bytes)]), 'photo.png')
      const reply = await fetch(`${edge.url}/api/image2topic`, { method: 'POST', body: form })
      remember(reply)
      return { status: reply.status, body: await reply.json() }
    }
    t.match(await upload(limit), { status: 200, body: { generated_topic: String } })
    t.match(await upload(limit + 1), { status: 413, body: { error: 'payload_too_large' } })
    const asked = await askedOfGateways('/api/image2topic')
    t.match(await upload(limit + 64 * 1024), { status: 413, body: { error: 'payload_too_large', message: /10 MiB/ } })
    t.equal(await askedOfGateways('/api/image2topic'), asked)
  },
)

t.test('the documentation may run under its security policy', async (t) => {
  const page = await get('/docs/')
  t.equal(page.status, 200)
  t.match(page.headers.get('content-security-policy'), /default-src 'self'/)
  t.notMatch(page.text, /<script(?![^>]*src=)[^>]*>/, 'no inline script, which the policy would stop')
  t.equal((await get('/docs/static/swagger-initializer.js')).status, 200)
})

t.test('s-maxage=900 and not max-age=300 is what counts here; then one question confirms the copy', async (t) => {
  t.match(await get(light), { cache: 'HIT' })
  await edge.age(600)
  t.match(await get(light), { cache: 'HIT' })
  await edge.age(301)
  const asked = await askedOfGateways('/api/subtopics')
  t.match(await get(light), { status: 200, cache: 'REVALIDATED' })
  t.match(await get(light), { status: 200, cache: 'HIT' })
  t.equal((await askedOfGateways('/api/subtopics')) - asked, 1)
})

t.test('when one gateway dies nobody notices', async (t) => {
  await gateways[0]?.stop('SIGKILL')
  const replies = await Promise.all(
    Array.from({ length: 20 }, (_, n) =>
      n % 2 === 0
        ? get('/api/quota/stats')
        : post(`${edge.url}/api/create_subtopics`, { topic: 'Light', language: 'en' }),
    ),
  )
  t.strictSame([...new Set(replies.map((reply) => reply.status))], [200])
  for (const reply of replies) remember(reply)
  const [dead, alive] = gateways.map((gateway) => new URL(gateway.url).host)
  const tried = (await edge.accessLog(requestIds)).map((line) => line.upstream)
  t.ok(tried.includes(`${dead}, ${alive}`), 'it was tried, and the other one then asked')
})

t.test('when every gateway is down a stale copy answers, for as long as stale-if-error says', async (t) => {
  const { text } = await get(light)
  await gateways[1]?.stop('SIGKILL')
  t.match(await get(light), { status: 200, cache: 'HIT' })
  await edge.age(901)
  t.match(await get(light), { status: 200, cache: 'STALE', text })
  t.match(await get(light), { status: 200, cache: 'STALE', text }, 'also when no gateway is tried any more')
  t.match(await post(`${edge.url}/api/create_subtopics`, { topic: 'Light' }), {
    status: 502,
    body: { error: 'bad_gateway' },
  })
  await edge.age(86_400)
  const late = await get(light)
  t.equal(late.status, 502)
  t.match(JSON.parse(late.text), { error: 'bad_gateway', message: String })
})

/** A valid PNG of one pixel and so many bytes in all: what is too little stands in a chunk that decoders pass over. */
function pictureOf(bytes: number): Uint8Array<ArrayBuffer> {
  const header = chunk('IHDR', Buffer.from([0, 0, 0, 1, 0, 0, 0, 1, 8, 2, 0, 0, 0]))
  const pixel = chunk('IDAT', deflateSync(Buffer.from([0, 10, 200, 30])))
  const end = chunk('IEND', Buffer.alloc(0))
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
  const rest = bytes - [signature, header, pixel, end].reduce((sum, part) => sum + part.length, 0)
  return new Uint8Array(Buffer.concat([signature, header, chunk('prVt', Buffer.alloc(rest - 12)), pixel, end]))
}

function chunk(type: string, content: Buffer): Buffer {
  const named = Buffer.concat([Buffer.from(type, 'latin1'), content])
  const framed = Buffer.alloc(named.length + 8)
  framed.writeUInt32BE(content.length)
  named.copy(framed, 4)
  framed.writeUInt32BE(crc32(named), named.length + 4)
  return framed
}
