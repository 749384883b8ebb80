import { readFile } from 'node:fs/promises'
import { converse, hostileImages, type TestProcess } from '@knowalledge/testing'
import t, { type Test } from 'tap'
import { fleetForTest } from './fleet.ts'
import { form, forms, imageHead, upload } from './hostile-forms.ts'
import { framing, headers, smuggled, targets } from './hostile-http.ts'
import { bodies, queries } from './hostile-json.ts'
import { get, type HostileRequest, head, post } from './hostile-request.ts'
import { recordedGatewayForTest } from './recorder.ts'

const { gif, png, pngBomb } = hostileImages
const env = { LOG_LEVEL: 'error' }

/** Ends at the gateway; the others are for a service to refuse. */
const atTheDoor = [...framing, ...headers, ...targets]
const all = [...atTheDoor, ...queries, ...bodies, ...forms]

/** One answer, of the one error shape and for good reason, and then a closed connection. */
async function refuse(t: Test, url: string, { name, bytes, status, error }: HostileRequest): Promise<void> {
  const { answers, rest } = await converse(url, bytes)
  const shown = answers.map((answer) => ({ status: answer.status, type: answer.headers['content-type'] }))
  t.strictSame({ shown, rest }, { shown: [{ status, type: 'application/json; charset=utf-8' }], rest: '' }, name)
  const { error: given, message, ...more } = JSON.parse(answers[0]?.body ?? 'null') as Record<string, unknown>
  t.strictSame({ given, more }, { given: error, more: {} }, name)
  t.match(message, /^[^\n]+\.$/, name)
  t.notMatch(message, /127\.0\.0\.1|node_modules|\bat \w+ \(|ECONN/, name)
}

t.test('at least sixty different hostile requests', async (t) => {
  t.ok(all.length >= 60, `${all.length} of them`)
  t.equal(new Set(all.map(({ bytes }) => bytes.toString('latin1' as never))).size, all.length)
})

t.test(
  'nothing that two readers could read in two ways reaches a service, and nothing is answered twice',
  async (t) => {
    const gateway = await recordedGatewayForTest(t, env)
    for (const request of atTheDoor) {
      await refuse(t, gateway.url, request)
      t.strictSame(gateway.seen, [], request.name)
    }
    const sent = await converse(gateway.url, smuggled.replace('host: x', 'host: x\r\nconnection: close'))
    t.equal(sent.answers[0]?.status, 200)
    t.match(gateway.seen, [{ body: '{"topic":"smuggled"}' }], 'sent in the open it arrives: the recorder works')
  },
)

t.test('every hostile request ends in its 4xx; processes live, memory is flat, no quota is spent', async (t) => {
  const { gateway, text, vision, imageGeneration, counters } = await fleetForTest(t, { env })
  const processes = [gateway, ...text, vision, imageGeneration]
  for (const request of all) await refuse(t, gateway.url, request)
  const before = await Promise.all(processes.map(residentMebibytes))
  for (let round = 0; round < 2; round++) {
    for (const { bytes } of all) await converse(gateway.url, bytes)
  }
  const after = await Promise.all(processes.map(residentMebibytes))
  for (const [n, { url, process, output }] of processes.entries()) {
    t.ok((after[n] ?? Number.NaN) - (before[n] ?? Number.NaN) < 64, `${before[n]} MiB, then ${after[n]} MiB`)
    t.equal((await fetch(`${url}/health`)).status, 200)
    t.equal(process.exitCode ?? process.signalCode, null)
    t.notMatch(output(), /unhandled|uncaught|"level":(50|60)/i)
  }
  const stats = (await (await fetch(`${gateway.url}/api/quota/stats`)).json()) as object
  t.match(stats, { requests: { per_day: { current: 0 } }, tokens: { per_day: { current: 0 } } })
  t.match(await counters(), { admitted: 0, refused: { rpm: 0 } })
})

async function residentMebibytes({ process }: TestProcess): Promise<number> {
  const [, kibibytes] = /^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${process.pid}/status`, 'utf8')) ?? []
  return Math.round(Number(kibibytes) / 1024)
}

t.test('odd but sound requests are answered, and a service sees only what the gateway says', async (t) => {
  const { url, seen } = await recordedGatewayForTest(t, env)
  const body = '{"topic":"x","topic":"y"}'
  const ask = (...headers: string[]) =>
    post('/api/create_subtopics', body, 'content-type: application/json', ...headers)
  const chunks = (lines: string[], bytes: string) =>
    head('POST /api/create_subtopics HTTP/1.1', 'host: x', 'content-type: application/json', ...lines) + bytes
  const forged = [
    'x-tenant',
    'x-client',
    'x-gateway-secret',
    'baggage',
    'x-forwarded-host',
    'x-real-ip',
    'forwarded',
    'authorization',
    'cookie',
    'proxy-authorization',
  ]
  const odd: [name: string, bytes: string | Buffer][] = [
    ['a key twice', ask()],
    ['forged identities', ask('x-forwarded-for: 6.6.6.6', ...forged.map((name) => `${name}: evil`))],
    ['headers of ours named as those of the hop', ask('connection: close, x-forwarded-for, x-request-id, host')],
    ['an upgrade to WebSocket', ask('connection: upgrade', 'upgrade: websocket', 'sec-websocket-version: 13')],
    ['an upgrade to HTTP/2', ask('connection: upgrade, http2-settings', 'upgrade: h2c', 'http2-settings: AAMAAABk')],
    [
      'chunks with extensions and a trailer',
      chunks(
        ['connection: close', 'transfer-encoding: ChUnKeD'],
        `10;a=b\r\n${body.slice(0, 16)}\r\n9\r\n${body.slice(16)}\r\n0\r\nx-tenant: evil\r\n\r\n`,
      ),
    ],
    ['an id that would break a log', ask('x-request-id: "},{"')],
  ]
  for (const [name, bytes] of odd) {
    seen.length = 0
    const { answers, rest } = await converse(url, bytes)
    t.match(answers, [{ status: 200, headers: { 'x-request-id': /^[0-9a-f-]{36}$/ } }], name)
    t.equal(rest, '', name)
    t.match(
      seen,
      [{ body, headers: { 'x-forwarded-for': '127.0.0.1', 'x-request-id': answers[0]?.headers['x-request-id'] } }],
      name,
    )
    for (const header of [...forged, 'upgrade', 'http2-settings', 'trailer'])
      t.notOk(header in (seen[0]?.headers ?? {}), `${name}: ${header}`)
    t.equal(answers.length + seen.length, 2, name)
  }
  seen.length = 0
  const pipelined = await converse(url, smuggled + get('/api/subtopics?topic=second'))
  t.match(
    pipelined.answers.map(({ status }) => status),
    [200, 200],
  )
  t.match(seen.map(({ url: path }) => path).toSorted(), ['/api/create_subtopics', '/api/subtopics?topic=second'])
})

t.test('odd but sound bodies are answered by the services', async (t) => {
  const { gateway } = await fleetForTest(t, { env: { ...env, QUOTA_RPM: '100', EMULATOR_RPM: '100' } })
  const ask = (body: string) => post('/api/create_subtopics', body, 'content-type: application/json')
  const polyglot = Buffer.concat([png(2, 2), Buffer.from('<script>alert(1)</script>')])
  const odd: [name: string, bytes: string | Buffer][] = [
    ['a key twice', ask('{"topic":"x","topic":"y"}')],
    ['a byte order mark', ask('\ufeff{"topic":"x"}')],
    [
      'NUL and every other control character',
      ask(JSON.stringify({ topic: `x${String.fromCharCode(...Array(32).keys())}` })),
    ],
    ['unknown fields, however deep', ask(`{"topic":"x","other":${'['.repeat(50_000)}${']'.repeat(50_000)}}`)],
    ['numbers beyond all in unknown fields', ask(`{"topic":"x","other":[1e999,-0,${'9'.repeat(5_000)}]}`)],
    ['a PNG that is a page as well', upload(polyglot)],
    [
      'a PNG whose texts inflate to a gigabyte',
      upload(png(3, 3, { extra: Buffer.concat(Array<Buffer>(25).fill(pngBomb('zTXt', 40))) })),
    ],
    ['a PNG whose profile inflates to 400 MB', upload(png(4, 4, { extra: pngBomb('iCCP', 400) }))],
    ['a GIF of one pixel on a screen of 4 gigapixels', upload(gif([65_535, 65_535], [1, 1]))],
    ['a part head of 100 kB', form([{ head: `${imageHead}\r\nx: ${'y'.repeat(100_000)}`, content: png(5, 5) }])],
    [
      'a file name that climbs',
      form([{ head: imageHead.replace('a.png', '../../etc/passwd%00.png'), content: png(6, 6) }]),
    ],
  ]
  for (const [name, bytes] of odd)
    t.match(await converse(gateway.url, bytes), { answers: [{ status: 200 }], rest: '' }, name)
})
