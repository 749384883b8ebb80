import sharp from 'sharp'

/** Who is asked: the fleet, the fleet while Gemini's 429 pauses it, or a gateway whose services fail in a way of theirs. */
export type Door = 'fleet' | 'paused' | 'dead' | 'silent' | 'nonsense'

/** How one documented answer is brought about. */
export interface Situation {
  /** What follows the path; or the path itself, where it has parameters. */
  path?: string
  send?: RequestInit
  /** Of the emulator, while this is asked. */
  fault?: string
  at?: Door
}

export const adminToken = 'a-token-of-the-test'

const json = (body: unknown, headers: Record<string, string> = {}): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': 'application/json', ...headers },
  body: JSON.stringify(body),
})
const tooLarge = (headers = {}) => json({ other: 'x'.repeat(300_000) }, headers)
const asText = (headers = {}): RequestInit => ({
  method: 'POST',
  headers: { ...headers, 'content-type': 'text/plain' },
  body: 'x',
})

/** Each is asked something that nobody asked before, so that no cache answers. */
let asked = 0
const fresh = () => `Light number ${++asked}`
const topic = () => json({ topic: fresh() })
const presentation = () => json({ topic: fresh(), educationLevel: 'school', levelOfDetail: 'low', focus: ['Colour'] })
const prompt = () => json({ prompt: fresh() })
const subtopicsOf = () => `?topic=${encodeURIComponent(fresh())}`
const explanationOf = () => `${subtopicsOf()}&subtopic=Colour&educationLevel=school&levelOfDetail=low`

async function picture(): Promise<RequestInit> {
  const create = { width: 16, height: 16, channels: 3 as const, background: { r: ++asked, g: 0, b: 0 } }
  return upload(await sharp({ create }).png().toBuffer())
}

function upload(...files: Uint8Array<ArrayBuffer>[]): RequestInit {
  const body = new FormData()
  for (const file of files) body.append('image', new Blob([file]), 'picture.png')
  return { method: 'POST', body }
}

const wrong = { send: json({}) }
const admin = { authorization: `Bearer ${adminToken}` }

/** Every answer of every route. A new one is a line. */
export const situations = async (pictureUrl: string): Promise<Record<string, Record<number, Situation>>> => ({
  'POST /api/create_subtopics': {
    200: { send: topic() },
    400: wrong,
    413: { send: tooLarge() },
    415: { send: asText() },
    422: { send: topic(), fault: 'safety_prompt' },
    429: { send: topic(), at: 'paused' },
    502: { send: topic(), fault: 'truncated_json' },
    503: { send: topic(), fault: '503' },
    504: { send: topic(), fault: 'hang' },
  },
  'GET /api/subtopics': {
    200: { path: subtopicsOf() },
    304: { path: subtopicsOf(), send: { headers: { 'if-none-match': '*' } } },
    400: { path: '?topic=' },
    422: { path: subtopicsOf(), fault: 'safety_candidate' },
    429: { path: subtopicsOf(), at: 'paused' },
    502: { path: subtopicsOf(), fault: 'refusal_text' },
    503: { path: subtopicsOf(), fault: '500' },
    504: { path: subtopicsOf(), fault: 'hang' },
  },
  'POST /api/create_presentation': {
    200: { send: presentation() },
    400: wrong,
    413: { send: tooLarge() },
    415: { send: asText() },
    429: { send: presentation(), at: 'paused' },
    502: { send: presentation(), at: 'nonsense' },
    503: { send: presentation(), fault: 'reset' },
    504: { send: presentation(), fault: 'hang' },
  },
  'GET /api/explanation': {
    200: { path: explanationOf() },
    304: { path: explanationOf(), send: { headers: { 'if-none-match': '*' } } },
    400: { path: subtopicsOf() },
    422: { path: explanationOf(), fault: 'safety_prompt' },
    429: { path: explanationOf(), at: 'paused' },
    502: { path: explanationOf(), fault: 'wrong_shape' },
    503: { path: explanationOf(), fault: '401' },
    504: { path: explanationOf(), at: 'silent' },
  },
  'POST /api/image2topic': {
    200: { send: await picture() },
    400: { send: upload() },
    413: { send: upload(new Uint8Array(10 * 1024 * 1024 + 1)) },
    415: { send: upload(new TextEncoder().encode('no picture')) },
    422: { send: await picture(), fault: 'safety_prompt' },
    429: { send: await picture(), at: 'paused' },
    502: { send: await picture(), fault: 'wrong_json' },
    503: { send: await picture(), at: 'dead' },
    504: { send: await picture(), fault: 'hang' },
  },
  'POST /api/generate_image': {
    200: { send: prompt() },
    400: wrong,
    413: { send: tooLarge() },
    415: { send: asText() },
    422: { send: prompt(), fault: 'safety_candidate' },
    429: { send: prompt(), at: 'paused' },
    502: { send: prompt(), fault: 'empty_candidates' },
    503: { send: prompt(), fault: '403_leaked_key' },
    504: { send: prompt(), fault: 'hang' },
  },
  'GET /api/images/{sha256}': {
    200: { path: pictureUrl },
    304: { path: pictureUrl, send: { headers: { 'if-none-match': '*' } } },
    400: { path: '/api/images/nothing' },
    404: { path: `/api/images/${'0'.repeat(64)}` },
    502: { path: pictureUrl, at: 'nonsense' },
    503: { path: pictureUrl, at: 'dead' },
    504: { path: pictureUrl, at: 'silent' },
  },
  'POST /api/admin/cache/invalidate': {
    200: { send: json({ topic: 'Light' }, admin) },
    400: { send: json({}, admin) },
    401: { send: json({ topic: 'Light' }) },
    413: { send: tooLarge(admin) },
    415: { send: asText(admin) },
    503: { send: json({ topic: 'Light' }, admin), at: 'dead' },
  },
  'GET /api/quota/stats': { 200: {} },
  'GET /api/health': { 200: {}, 503: { at: 'dead' } },
  'GET /api/ready': { 200: {}, 503: { at: 'dead' } },
  'GET /ready': { 200: {}, 503: { at: 'dead' } },
  'GET /health': { 200: {} },
})
