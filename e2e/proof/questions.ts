import { barsOf, type Random } from '@knowalledge/gemini-emulator'
import sharp from 'sharp'
import type { Caller } from './callers.ts'

export type Route = 'create_subtopics' | 'create_presentation' | 'image2topic' | 'generate_image'

export interface Question {
  route: Route
  method: 'GET' | 'POST'
  path: string
  headers: Record<string, string>
  body: Buffer | undefined
  /** In the question and in no other: an answer that belongs to it holds this one and no other. */
  marker: string
  /** Of image2topic: what the picture's bars say. */
  barCode?: number
  /** Of create_presentation. */
  focus?: string[]
}

const languages = ['en', 'es', 'fr', 'de', 'zh', 'ja', 'ar', 'he']
const weighted: Route[] = [
  'create_subtopics',
  'create_subtopics',
  'create_subtopics',
  'create_presentation',
  'create_presentation',
  'image2topic',
  'image2topic',
  'generate_image',
]

/** Any marker, of whichever question. */
export const anyMarker = /zq[0-9a-z]{6}x/gi

function markerOf(number: number): string {
  return `Zq${number.toString(36).padStart(6, '0')}x`
}

/** Asks things that nobody has asked before, mixed over all four routes, each for one of the callers in turn. */
export class Questioner {
  readonly #random: Random
  readonly #callers: readonly Caller[]
  #count: number

  /** Questions from different `from` never meet: leave a million between. */
  constructor(random: Random, { callers, from = 0 }: { callers: readonly Caller[]; from?: number }) {
    this.#random = random
    this.#callers = callers
    this.#count = from
  }

  async next(route: Route = this.#random.pick(weighted)): Promise<Question> {
    const number = this.#count++
    const caller = this.#callers[number % this.#callers.length] as Caller
    const language = this.#random.pick(languages)
    const question = await makers[route]({ number, language, random: this.#random })
    return { ...question, headers: { ...question.headers, ...caller.headers } }
  }
}

interface Subject {
  number: number
  language: string
  random: Random
}

const makers: Record<Route, (subject: Subject) => Question | Promise<Question>> = {
  create_subtopics: ({ number, language, random }) => {
    const marker = markerOf(number)
    const body = { topic: `${marker} studies`, language }
    if (random.next() < 0.7) return json('create_subtopics', body, { marker })
    const path = `/api/subtopics?${new URLSearchParams(body)}`
    return { route: 'create_subtopics', method: 'GET', path, headers: {}, body: undefined, marker }
  },
  create_presentation: ({ number, language, random }) => {
    const marker = markerOf(number)
    const focus = ['Alpha', 'Beta', 'Gamma'].slice(0, random.pick([1, 1, 2, 3])).map((name) => `${name} of ${marker}`)
    const body = { topic: `${marker} studies`, educationLevel: 'high school', levelOfDetail: 'short', focus, language }
    return json('create_presentation', body, { marker, focus })
  },
  image2topic: async ({ number, language }) => {
    const form = new FormData()
    form.append('image', new Blob([await barCodePicture(number)]), 'picture.png')
    form.append('language', language)
    const request = new Request('http://any', { method: 'POST', body: form })
    const type = request.headers.get('content-type') as string
    const body = Buffer.from(await request.arrayBuffer())
    return { ...post('image2topic', type, body), marker: markerOf(number), barCode: number }
  },
  generate_image: ({ number }) => {
    const marker = markerOf(number)
    return json('generate_image', { prompt: `A drawing of ${marker}` }, { marker })
  },
}

function json(route: Route, body: object, more: { marker: string; focus?: string[] }): Question {
  return { ...post(route, 'application/json', Buffer.from(JSON.stringify(body))), ...more }
}

function post(route: Route, type: string, body: Buffer): Omit<Question, 'marker'> {
  return { route, method: 'POST', path: `/api/${route}`, headers: { 'content-type': type }, body }
}

async function barCodePicture(number: number): Promise<Uint8Array<ArrayBuffer>> {
  const bars = Buffer.from(barsOf(number).map((bar) => (bar ? 0 : 255)))
  const picture = sharp(bars, { raw: { width: bars.length, height: 1, channels: 1 } })
  return new Uint8Array(await picture.resize(256, 64, { kernel: 'nearest', fit: 'fill' }).png().toBuffer())
}
