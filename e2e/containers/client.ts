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

/** A question that nobody has asked before: it needs the gateway, a service, the quota and the emulator. */
export async function askSomethingNew(timeoutMs?: number): Promise<Answer> {
  return await post('/api/create_subtopics', { topic: `Topic ${randomUUID()}` }, timeoutMs)
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

/**
 * New questions, several a second, from some clients at once, while `change` runs. Each must be answered.
 * Returns how many there were.
 */
export async function withoutLoss(change: () => Promise<unknown>): Promise<number> {
  let isChanging = true
  const answers: Answer[] = []
  const client = async () => {
    while (isChanging) {
      answers.push(await askSomethingNew())
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
