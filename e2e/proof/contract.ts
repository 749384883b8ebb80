import sharp from 'sharp'
import { anyMarker, type Question, type Route } from './questions.ts'

/** What came back for one question. */
export interface Reply {
  status: number
  headers: Record<string, string | string[] | undefined>
  body: Buffer
}

type Json = Record<string, unknown>

/** The error names that a well-formed question can meet while things fail, by status: README and DESIGN §3, written down again. */
const errors: Record<number, string[]> = {
  422: ['content_blocked'],
  429: ['quota_exceeded'],
  502: ['gemini_bad_answer', 'bad_gateway'],
  503: ['gemini_unavailable', 'service_unavailable', 'overloaded', 'quota_unavailable'],
  504: ['timeout'],
}
const limitTypes = ['rpm', 'rpd', 'tpm', 'tpd', 'upstream', 'client']

/** What is wrong with a reply, judged by the contract alone; undefined when nothing is. */
export async function faultOf(question: Question, requestId: string, reply: Reply): Promise<string | undefined> {
  const said = reply.headers['x-request-id']
  if (said !== requestId) return `x-request-id is ${said}, not ${requestId}`
  const body = parse(reply.body)
  if (body === undefined) return `status ${reply.status} with a body that is no JSON object: ${start(reply.body)}`
  if (reply.status !== 200) return faultOfError(reply, body)
  const { image: _, ...texts } = body // base64 holds any letters
  const crossed = (JSON.stringify(texts).match(anyMarker) ?? []).find((marker) => !isSame(marker, question.marker))
  if (crossed !== undefined) return `CROSSED: the answer to ${question.marker} holds ${crossed}`
  const fault = (await answers[question.route](body, question)) ?? faultOfModels(body, reply.headers['x-model'])
  return fault && `${question.route}: ${fault}: ${start(reply.body)}`
}

/** Every answer says which model wrote it, in its body and in a header. */
function faultOfModels(body: Json, header: unknown): string | undefined {
  const answers = Array.isArray(body.explanations) ? body.explanations.filter(({ error }) => error === null) : [body]
  const models = answers.map(({ model }) => model)
  if (!isTexts(models) || models.includes('')) return 'no model'
  const all = [...new Set(models)].join(', ')
  return (header ?? '') === all ? undefined : `X-Model ${header}, and in the body ${all}`
}

function faultOfError({ status, headers, body: raw }: Reply, body: Json): string | undefined {
  const { error, message } = body
  if (!errors[status]?.includes(String(error))) return `status ${status} ${start(raw)}`
  if (typeof message !== 'string' || message === '') return `${error} without a message`
  if (status !== 429 && error !== 'quota_unavailable') return undefined
  const seconds = Number(headers['retry-after'])
  if (!Number.isInteger(seconds) || seconds < 1) return `${error} with Retry-After ${headers['retry-after']}`
  if (status === 429 && !limitTypes.includes(String(body.limit_type))) return `429 with limit_type ${body.limit_type}`
  const expected = `${seconds} ${seconds === 1 ? 'second' : 'seconds'}`
  return body.retry_after === expected ? undefined : `retry_after ${body.retry_after} beside Retry-After ${seconds}`
}

/** Whether a 200 is complete and belongs to its question; an answer that says in `warnings` what it lacks may lack it. */
const answers: Record<Route, (body: Json, question: Question) => string | undefined | Promise<string | undefined>> = {
  create_subtopics(body, { marker }) {
    const { subtopics, count, warnings } = body
    if (!isTexts(subtopics) || !isTexts(warnings)) return 'no list of subtopics or warnings'
    if (count !== subtopics.length || count === 0) return `count ${count} of ${subtopics.length}`
    if (!hasFlags(body) || !isScore(body.quality_score)) return 'a field is missing'
    if (warnings.length > 0) return undefined
    if (count !== 15) return `${count} subtopics and no warning`
    return holds(subtopics.join('\n'), marker) ? undefined : 'no subtopic names the topic'
  },
  create_presentation(body, { focus = [], marker }) {
    const { explanations, success_count: made, failed_count: failed } = body
    if (!Array.isArray(explanations) || explanations.length !== focus.length)
      return 'not one explanation for each focus'
    if (Number(made) + Number(failed) !== focus.length) return `${made} made and ${failed} failed of ${focus.length}`
    if (explanations.filter(({ error }) => error === null).length !== made) return `success_count is ${made}`
    return explanations.map((one, at) => faultOfExplanation(one, focus[at] as string, marker)).find(Boolean)
  },
  image2topic(body, { barCode }) {
    const { generated_topic: topic, warnings } = body
    if (typeof topic !== 'string' || !isTexts(warnings)) return 'no topic or warnings'
    if (!hasFlags(body) || !isScore(body.quality_score)) return 'a field is missing'
    const number = /\d+/.exec(topic)?.[0]
    if (number === undefined) return 'the topic is not of this picture'
    return Number(number) === barCode ? undefined : `CROSSED: the topic is of picture ${number}, not ${barCode}`
  },
  async generate_image(body, { marker }) {
    const { image, format, mime_type: mimeType, url } = body
    if (typeof image !== 'string' || !hasFlags(body) || !/^\/api\/images\/[0-9a-f]{64}$/.test(String(url)))
      return 'a field is missing'
    const { format: found, exif, width } = await sharp(Buffer.from(image, 'base64')).metadata()
    if (format !== `base64_${found}` || mimeType !== `image/${found}` || width < 64)
      return `a ${found} is called ${format}`
    const drawnFor = exif?.toString('latin1').match(anyMarker)?.[0] ?? 'nothing'
    return isSame(drawnFor, marker) ? undefined : `CROSSED: the picture was drawn for ${drawnFor}, not ${marker}`
  },
}

function faultOfExplanation(one: Json, subtopic: string, marker: string): string | undefined {
  if (one.subtopic !== subtopic) return `${one.subtopic} stands where ${subtopic} should`
  if (!hasFlags(one)) return 'an explanation lacks a field'
  if (one.explanation === null)
    return typeof one.error === 'string' && one.error !== '' ? undefined : 'a failure without a reason'
  const texts = [one.explanation, one.real_world_application, one.youtube_search_query]
  if (!isTexts(texts) || texts.includes('') || one.error !== null || !isScore(one.quality_score))
    return 'an explanation is not whole'
  return holds(one.explanation as string, marker) && holds(one.explanation as string, subtopic)
    ? undefined
    : 'the explanation is not of its subtopic'
}

const isSame = (one: string, other: string) => one.toLowerCase() === other.toLowerCase()
const holds = (text: string, part: string) => text.toLowerCase().includes(part.toLowerCase())
const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((text) => typeof text === 'string')
const isScore = (value: unknown) => typeof value === 'number' && value >= 0 && value <= 1
const hasFlags = ({ cached, from_fallback: stale }: Json) => typeof cached === 'boolean' && typeof stale === 'boolean'
const start = (body: Buffer) => body.toString().slice(0, 300)

function parse(body: Buffer): Json | undefined {
  try {
    const value: unknown = JSON.parse(body.toString())
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined
  } catch {
    return undefined
  }
}
