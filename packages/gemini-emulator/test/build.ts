import type { Test } from 'tap'
import { buildEmulator, type Emulator, type EmulatorOptions } from '../src/index.ts'

type Body = Record<string, unknown>

export interface Answer {
  status: number
  headers: Record<string, unknown>
  text: string
  // biome-ignore lint/suspicious/noExplicitAny: tests look into JSON of every shape
  json: any
}

export interface Driven {
  app: Emulator
  /** POST /v1beta/models/{target} with a good key. */
  post(target: string, body: Body, headers?: Record<string, string>): Promise<Answer>
  /** generateContent of the default text model. */
  ask(prompt: string, generationConfig?: Body): Promise<Answer>
}

export const TEXT_MODEL = 'gemini-3.8-flash'
export const IMAGE_MODEL = 'gemini-3.1-flash-image'
export const IMAGEN_MODEL = 'imagen-4.0-generate-001'

/** An emulator that is closed with the test, asked without a network. */
export function build(t: Test, options: EmulatorOptions = {}): Driven {
  const app = buildEmulator(options)
  t.teardown(() => app.close())
  const post: Driven['post'] = async (target, body, headers = { 'x-goog-api-key': 'a-key' }) => {
    const response = await app.inject({ method: 'POST', url: `/v1beta/models/${target}`, headers, payload: body })
    return {
      status: response.statusCode,
      headers: response.headers,
      text: response.body,
      json: parse(response.body),
    }
  }
  const ask: Driven['ask'] = (prompt, generationConfig) =>
    post(`${TEXT_MODEL}:generateContent`, { ...contents(prompt), ...(generationConfig && { generationConfig }) })
  return { app, post, ask }
}

export function contents(prompt: string, ...pictures: { mimeType: string; data: string }[]): Body {
  return { contents: [{ role: 'user', parts: [{ text: prompt }, ...pictures.map((inlineData) => ({ inlineData }))] }] }
}

export function jsonOf(schema: Body): Body {
  return { responseMimeType: 'application/json', responseSchema: schema }
}

export const SUBTOPICS = jsonOf({
  type: 'OBJECT',
  properties: { subtopics: { type: 'ARRAY', items: { type: 'STRING' } } },
})

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
