import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { createGemini, type Gemini, GeminiError, type GeminiOptions, type JsonRequest } from '../src/index.ts'

export const KEY = 'AIzaSy-a-key-that-must-stay-secret'
export const MODELS = { text: 'gemini-3.8-flash', image: 'gemini-3.1-flash-image', imagen: 'imagen-4.0-generate-001' }

/** A client that is closed with the test. */
export function clientFor(t: Test, baseUrl: string, options: Partial<GeminiOptions> = {}): Gemini {
  const gemini = createGemini({ apiKey: KEY, baseUrl, imageBackend: 'gemini', ...options })
  t.teardown(() => gemini.close())
  return gemini
}

export function question(overrides: Partial<JsonRequest> = {}): JsonRequest {
  return {
    model: MODELS.text,
    prompt: 'Topic: Rome',
    schema: { type: 'OBJECT', properties: { subtopics: { type: 'ARRAY', items: { type: 'STRING' } } } },
    maxOutputTokens: 4096,
    signal: new AbortController().signal,
    ...overrides,
  }
}

/** The GeminiError of a call that must fail. */
export async function failureOf(call: Promise<unknown>): Promise<GeminiError> {
  const outcome = await call.then(
    (value) => new Error(`answered ${JSON.stringify(value)?.slice(0, 200)}`),
    (error: unknown) => error,
  )
  if (outcome instanceof GeminiError) return outcome
  throw outcome
}

export interface Seen {
  url: string
  headers: IncomingMessage['headers']
  // biome-ignore lint/suspicious/noExplicitAny: tests look into JSON of every shape
  body: any
}

export interface RawServer {
  baseUrl: string
  server: Server
  seen: Seen[]
  /** TCP connections accepted so far. */
  connections(): number
}

/** A server of the test's own, for answers that no emulator would give. */
export async function rawServer(t: Test, answer: (response: ServerResponse, seen: Seen) => void): Promise<RawServer> {
  const seen: Seen[] = []
  let connections = 0
  const server = createServer(async (request, response) => {
    let text = ''
    for await (const chunk of request.setEncoding('utf8')) text += chunk
    const entry = { url: request.url ?? '', headers: request.headers, body: JSON.parse(text) }
    seen.push(entry)
    answer(response, entry)
  })
  server.on('connection', () => {
    connections += 1
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  })
  const { port } = server.address() as AddressInfo
  return { baseUrl: `http://127.0.0.1:${port}`, server, seen, connections: () => connections }
}

export function sendJson(response: ServerResponse, body: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=UTF-8' }).end(JSON.stringify(body))
}

/** A generateContent response with these parts. */
export function answerWith(...parts: unknown[]) {
  return {
    candidates: [{ content: { parts, role: 'model' }, finishReason: 'STOP', index: 0 }],
    usageMetadata: { promptTokenCount: 7, candidatesTokenCount: 149, totalTokenCount: 204, thoughtsTokenCount: 48 },
    modelVersion: 'gemini-3.8-flash',
  }
}
