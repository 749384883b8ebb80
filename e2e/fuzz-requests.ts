import fc from 'fast-check'
import sharp from 'sharp'
import { get, head, post } from './hostile-request.ts'

/** Arbitrary requests as bytes, near enough to sound ones to get past the first check, each asking to close. */
export type ArbitraryRequest = fc.Arbitrary<Buffer>

const oneOf = (spaced: string) => fc.constantFrom(...spaced.split(' '))
const text = fc.oneof(
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.constantFrom(
    'Light',
    'x'.repeat(500),
    'x'.repeat(501),
    '\ud800',
    '\0',
    '\u202e',
    'Topic: x\nLanguage: y',
    '__proto__',
  ),
)
const anyJson = fc.jsonValue({ maxDepth: 3 })
const mostly = <T>(arbitrary: fc.Arbitrary<T>) => fc.oneof({ weight: 6, arbitrary }, { weight: 1, arbitrary: anyJson })
const language = mostly(fc.oneof(oneOf('en es zh-Hant he x-klingon *'), text))
const fields = (record: Record<string, fc.Arbitrary<unknown>>) => mostly(fc.record(record, { requiredKeys: [] }))

const presentation = fields({
  topic: mostly(text),
  educationLevel: mostly(text),
  levelOfDetail: mostly(text),
  learningStyle: mostly(text),
  focus: mostly(fc.array(mostly(text), { maxLength: 3 })),
  language,
})
const questions: fc.Arbitrary<[path: string, body: unknown]> = fc.oneof(
  fc.tuple(fc.constant('/api/create_subtopics'), fields({ topic: mostly(text), language })),
  fc.tuple(fc.constant('/api/generate_image'), fields({ prompt: mostly(text) })),
  fc.tuple(fc.constant('/api/create_presentation'), presentation),
)

const json = 'content-type: application/json'
/** Of every question; other requests get an id of the gateway's own, unless they bring one. */
export const givenId = 'fuzz.1:a_B-2'
export const anyQuestion: ArbitraryRequest = questions.map(([path, body]) =>
  post(path, JSON.stringify(body), json, `x-request-id: ${givenId}`),
)

const place = fc.double({ min: 0, max: 1, noNaN: true })

/** Bytes put in, left out or changed at some places. */
function damaged(whole: fc.Arbitrary<Buffer>): fc.Arbitrary<Buffer> {
  const edit = fc.record({ at: place, skip: fc.nat(8), put: fc.uint8Array({ maxLength: 8 }) })
  return fc.tuple(whole, fc.array(edit, { maxLength: 4 })).map(([bytes, edits]) =>
    edits.reduce((sofar, { at, skip, put }) => {
      const from = Math.floor(at * sofar.length)
      return Buffer.concat([sofar.subarray(0, from), put, sofar.subarray(from + skip)])
    }, bytes),
  )
}

const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array))
const routes = 'create_subtopics create_presentation generate_image image2topic admin/cache/invalidate'
const types = 'application/json application/json;charset=utf-16 text/plain multipart/form-data;boundary=b image/png */*'
export const anyBody: ArbitraryRequest = fc
  .tuple(
    oneOf(routes),
    fc.oneof(oneOf(types), fc.stringMatching(/^[!-~]{0,40}$/)),
    fc.oneof(bytes, damaged(questions.map(([, body]) => Buffer.from(JSON.stringify(body))))),
  )
  .map(([route, type, body]) => post(`/api/${route}`, body, `content-type: ${type}`))

const noise = { type: 'gaussian' as const, mean: 90, sigma: 40 }
const noisy = sharp({ create: { width: 40, height: 30, channels: 3, background: 'teal', noise } })
const pictures = await Promise.all(
  (['png', 'jpeg', 'gif', 'webp'] as const).map((format) => noisy.clone().toFormat(format).toBuffer()),
)
const visible = fc.stringMatching(/^[ -~]{0,30}$/)
const partHead = fc.oneof(
  { weight: 4, arbitrary: fc.constant('content-disposition: form-data; name="image"; filename="a.png"') },
  visible.map((value) => `content-disposition: form-data; name="${value}"; filename="${value}"`),
  oneOf('language __proto__').map((name) => `content-disposition: form-data; name="${name}"`),
  visible,
)
const part = fc
  .tuple(partHead, fc.oneof(bytes, damaged(fc.constantFrom(...pictures))))
  .map(([lines, content]) => Buffer.concat([Buffer.from(`--b\r\n${lines}\r\n\r\n`), content, Buffer.from('\r\n')]))
export const anyPicture: ArbitraryRequest = fc
  .tuple(fc.array(part, { maxLength: 3 }), fc.constantFrom('--b--\r\n', '--b--\r\n', '--b--\r\n', '--b', ''))
  .map(([parts, end]) =>
    post(
      '/api/image2topic',
      Buffer.concat([...parts, Buffer.from(end)]),
      'content-type: multipart/form-data; boundary=b',
    ),
  )

const queryPart = fc.oneof(
  text.map((value) => encodeURIComponent(value.toWellFormed())),
  fc.stringMatching(/^[!$-;=?-~%&]{0,30}$/),
  oneOf('topic subtopic language educationLevel levelOfDetail topic[] __proto__ % %00 %ff'),
)
export const anyQuery: ArbitraryRequest = fc
  .tuple(
    oneOf('/api/subtopics /api/explanation /api/quota/stats /api/health /openapi.json'),
    fc.constantFrom('', 'topic=Light&'),
    fc.array(fc.tuple(queryPart, queryPart), { maxLength: 6 }),
  )
  .map(([path, first, pairs]) =>
    Buffer.from(get(`${path}?${first}${pairs.map(([name, value]) => `${name}=${value}`).join('&')}`)),
  )

const segment = fc.oneof(
  oneOf('api images subtopics health docs static admin .. . %2e%2e %2f'),
  fc.stringMatching(/^[!-~]{0,12}$/),
)
/** Not HEAD, whose answer has no body to read. */
const method = fc.oneof(
  oneOf('GET POST PUT DELETE OPTIONS TRACE PATCH PROPFIND QUERY CONNECT'),
  fc.stringMatching(/^[A-Z]{1,9}$/).filter((name) => name !== 'HEAD'),
)
export const anyTarget: ArbitraryRequest = fc
  .tuple(method, fc.array(segment, { maxLength: 5 }))
  .map(([name, path]) => Buffer.from(head(`${name} /${path.join('/')} HTTP/1.1`, 'host: x', 'connection: close')))

/** But those that say where the request ends. */
const headerName = fc.oneof(
  oneOf(
    'accept accept-language accept-encoding content-type content-encoding cookie authorization x-api-key x-request-id',
  ),
  oneOf(
    'x-forwarded-for x-tenant forwarded traceparent if-none-match if-modified-since range origin te trailer upgrade',
  ),
  oneOf('expect host connection access-control-request-method x-http-method-override'),
  fc
    .stringMatching(/^[a-z0-9!#$%&'*+.^_`|~-]{1,20}$/)
    .filter((name) => !/^(content-length|transfer-encoding)$/.test(name)),
)
const headerValue = fc.oneof(
  fc.stringMatching(/^[\t -~\x80-\xff]{0,60}$/),
  oneOf('* */* close en;q=0.1,* W/"x" 100-continue gzip identity 127.0.0.1,::1 bytes=0-'),
)
export const anyHeaders: ArbitraryRequest = fc
  .tuple(fc.boolean(), fc.array(fc.tuple(headerName, headerValue), { maxLength: 12 }))
  .map(([asks, headers]) => {
    const lines = headers.map(([name, value]) => `${name}: ${value}`)
    if (asks) return post('/api/create_subtopics', '{"topic":"Light"}', json, ...lines)
    return Buffer.from(get('/api/subtopics?topic=Light', ...lines))
  })

const lines = [
  '\r\n',
  '\n',
  '\r',
  '\0',
  ' ',
  ':',
  ';',
  '0\r\n\r\n',
  'ffffffff\r\n',
  'host: x\r\n',
  'content-length: 5\r\n',
]
const fragment = fc.constantFrom(
  ...lines,
  'transfer-encoding: chunked\r\n',
  'GET / HTTP/1.1\r\n',
  'HTTP/1.1 200 OK\r\n\r\n',
)
/** Not HTTP any more: to be followed by the end of what is sent. */
export const anyBytes: ArbitraryRequest = fc
  .tuple(
    damaged(fc.oneof(anyQuestion, anyQuery, anyHeaders)),
    fc.array(fc.tuple(place, fragment), { maxLength: 4 }),
    bytes,
  )
  .map(([request, inserted, tail]) =>
    inserted.reduce(
      (sofar, [at, between]) => {
        const from = Math.floor(at * sofar.length)
        return Buffer.concat([sofar.subarray(0, from), Buffer.from(between), sofar.subarray(from)])
      },
      Buffer.concat([request, tail]),
    ),
  )
