import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

const edge = 'http://127.0.0.1:8080'

export interface Answer {
  /** 0 when no answer came: the connection was refused, cut, or silent for too long. */
  status: number
  headers: Headers
  body: Record<string, unknown>
}

export async function ask(path: string, init: RequestInit = {}, timeoutMs = 20_000): Promise<Answer> {
  try {
    const reply = await fetch(edge + path, { ...init, signal: AbortSignal.timeout(timeoutMs) })
    const text = await reply.text()
    const isJson = reply.headers.get('content-type')?.startsWith('application/json')
    return { status: reply.status, headers: reply.headers, body: isJson ? JSON.parse(text) : { text } }
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof DOMException)) throw error
    return { status: 0, headers: new Headers(), body: { error: String(error.cause ?? error) } }
  }
}

export async function post(path: string, body: object, timeoutMs?: number): Promise<Answer> {
  const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
  return await ask(path, init, timeoutMs)
}

/** A question to a service that nobody has asked before: it needs the gateway, the service, the quota and the emulator. */
export async function askSomethingNew(timeoutMs?: number, service = 'text-generation'): Promise<Answer> {
  if (service === 'image-generation') return await post('/api/generate_image', { prompt: randomUUID() }, timeoutMs)
  if (service !== 'vision') return await post('/api/create_subtopics', { topic: `Topic ${randomUUID()}` }, timeoutMs)
  const form = new FormData()
  form.set('image', new Blob([await anyImage(), randomUUID()]), 'image') // a decoder stops before what follows the image
  return await ask('/api/image2topic', { method: 'POST', body: form }, timeoutMs)
}

let image: Buffer<ArrayBuffer> | undefined
async function anyImage(): Promise<Buffer<ArrayBuffer>> {
  if (image) return image
  const answer = await post('/api/generate_image', { prompt: 'A lighthouse' })
  assertAnswered(answer)
  image = Buffer.from(String(answer.body.image), 'base64')
  return image
}

export function assertAnswered(answer: Answer): void {
  assert.equal(answer.status, 200, `status ${answer.status}: ${JSON.stringify(answer.body).slice(0, 200)}`)
}

/** An error in the shape of every error; no answer at all within the time is accepted where `orNone`. */
export function assertRefused({ status, body }: Answer, { orNone = false } = {}): void {
  if (orNone && status === 0) return
  assert.ok([429, 502, 503, 504].includes(status), `status ${status}`)
  assert.match(String(body.error), /^[a-z_]+$/)
  assert.equal(typeof body.message, 'string')
}

/** Returns how many new questions to a service some clients asked while `change` ran. Throws unless each was answered. */
export async function withoutLoss(change: () => Promise<unknown>, service?: string): Promise<number> {
  let isChanging = true
  const answers: Answer[] = []
  const client = async () => {
    while (isChanging) {
      answers.push(await askSomethingNew(undefined, service))
      await sleep(100)
    }
  }
  const clients = Promise.all(Array.from({ length: 4 }, client))
  try {
    await change()
  } finally {
    isChanging = false
    await clients
  }
  const lost = answers.filter(({ status }) => status !== 200)
  const [first] = lost
  assert.equal(
    lost.length,
    0,
    `${lost.length} of ${answers.length} lost, the first: ${first?.status} ${JSON.stringify(first?.body)}`,
  )
  return answers.length
}
