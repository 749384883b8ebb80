// The instruments of `npm run e2e`: what judges the system must itself be seen to find what is wrong.
import { randomFrom } from '@knowalledge/gemini-emulator'
import sharp from 'sharp'
import t from 'tap'
import { faultOf, type Reply } from './proof/contract.ts'
import { callsDuringHolds, heldSeconds } from './proof/holds.ts'
import { readLogs } from './proof/logs.ts'
import { mostInAnyWindow, mostOfAnyModel, overLimit, usedShare } from './proof/oracle.ts'
import { type Question, Questioner, type Route } from './proof/questions.ts'
import { handleGrowth, memoryGrowth } from './proof/resources.ts'

t.test('the oracle sees what a fixed window lets through at its edge', async (t) => {
  const times = [950, 960, 1_010, 1_020, 2_500]
  t.equal(mostInAnyWindow(times, 1_000), 4)
  t.equal(mostInAnyWindow(times, 61), 3)
  const calls = times.map((atMs) => ({ atMs, task: 'text' as const, model: 'm', inputTokens: 1 }))
  t.same(overLimit(calls, { limit: 3, windowMs: 1_000, fromMs: 20 }), [
    '1.00 s: a text call of m was number 4 in its window',
  ])
  t.same(overLimit(calls, { limit: 4, windowMs: 1_000, fromMs: 0 }), [])
  const twoModels = calls.map((call, at) => ({ ...call, model: at % 2 === 0 ? 'm' : 'n' }))
  t.equal(mostOfAnyModel(twoModels, 1_000), 2)
  t.same(overLimit(twoModels, { limit: 2, windowMs: 1_000, fromMs: 0 }), [], 'each model is counted by itself')
})

t.test('the used share does not depend on where in a burst it begins, and misses nothing that was left', async (t) => {
  const run = { limit: 60, windowMs: 6_000, windows: 3 }
  const calls = (windowMs: number, burstMs: number, limit = 60) =>
    Array.from({ length: 3.2 * limit }, (_, n) => Math.floor(n / limit) * windowMs + ((n % limit) * burstMs) / limit)
  t.equal(usedShare(calls(6_000, 100), run), 1)
  t.equal(usedShare(calls(6_000, 6_000), run), 1)
  for (const burstMs of [100, 3_000, 6_300]) t.ok(Math.abs(usedShare(calls(6_300, burstMs), run) - 6 / 6.3) < 0.001)
  t.ok(usedShare(calls(6_000, 6_000, 54), run) < 0.92, 'a tenth of the quota was left')
  t.equal(usedShare([], run), 0)
})

t.test('a call that comes during a hold is found, one that was on its way is not', async (t) => {
  const call = (atMs: number) => ({ atMs, task: 'text' as const, model: 'm', inputTokens: 1 })
  const spans = [{ model: 'm', cause: 'empty', fromMs: 10_000, untilMs: 16_000 }]
  const calls = [9_000, 10_400, 11_600, 16_001].map(call)
  t.same(callsDuringHolds(calls, spans, 500), ['a text call of m came 1600 ms after a hold (empty) was seen'])
  const ofAnother = [{ model: 'n', cause: 'empty', fromMs: 10_000, untilMs: 16_000 }]
  t.same(callsDuringHolds(calls, ofAnother, 500), [], 'a hold is one of its pool')
  const again = { model: 'm', cause: 'empty', fromMs: 20_000, untilMs: 21_000 }
  t.same([...heldSeconds([...spans, again])], [['empty', 7]])
})

const questioner = new Questioner(randomFrom('questions'), { callers: [{ name: 'nobody', headers: {} }] })
const reply = (status: number, body: object, headers = {}): Reply => {
  const common = { 'x-request-id': 'id', ...(status === 200 && { 'x-model': 'best' }) }
  return { status, headers: { ...common, ...headers }, body: Buffer.from(JSON.stringify(body)) }
}
const flags = { model: 'best', cached: false, from_fallback: false, quality_score: 1, warnings: [] }
const subtopicsOf = (name: string) => {
  const subtopics = Array.from({ length: 15 }, (_, n) => `Part ${n} of ${name}`)
  return { subtopics, count: 15, ...flags }
}

t.test('an answer that belongs to another question is found on every route', async (t) => {
  const fault = async (question: Question, body: object) => (await faultOf(question, 'id', reply(200, body))) ?? 'none'
  const [mine, other] = [await questioner.next('create_subtopics'), await questioner.next('create_subtopics')]
  t.equal(await fault(mine, subtopicsOf(mine.marker)), 'none')
  t.match(await fault(mine, subtopicsOf(other.marker)), 'CROSSED')

  const seen = await questioner.next('image2topic')
  t.equal(await fault(seen, { generated_topic: `Code-barres ${seen.barCode}`, ...flags }), 'none')
  t.match(await fault(seen, { generated_topic: 'Code-barres 4711', ...flags }), 'CROSSED')

  const drawn = await questioner.next('generate_image')
  const picture = async (name: string) => {
    const plain = sharp({ create: { width: 64, height: 64, channels: 3, background: 'teal' } })
    const image = (
      await plain
        .withExif({ IFD0: { ImageDescription: name } })
        .png()
        .toBuffer()
    ).toString('base64')
    const url = `/api/images/${'0'.repeat(64)}`
    return { image, format: 'base64_png', mime_type: 'image/png', url, ...flags }
  }
  t.equal(await fault(drawn, await picture(`A drawing of ${drawn.marker}`)), 'none')
  t.match(await fault(drawn, await picture(`A drawing of ${mine.marker}`)), 'CROSSED')
  t.match(await fault(drawn, { ...(await picture(drawn.marker)), format: 'base64_jpeg' }), 'is called')

  const presented = await questioner.next('create_presentation')
  const explain = (subtopic: string) => {
    const text = `${subtopic} matters.`
    const texts = { explanation: text, real_world_application: text, youtube_search_query: text }
    return { subtopic, ...texts, ...flags, error: null }
  }
  const focus = presented.focus ?? []
  const whole = { explanations: focus.map(explain), success_count: focus.length, failed_count: 0 }
  t.equal(await fault(presented, whole), 'none')
  t.match(await fault(presented, { ...whole, explanations: focus.slice(1).map(explain) }), 'not one explanation')
  const swapped = focus.map((subtopic) => ({ ...explain(`Delta of ${presented.marker}`), subtopic }))
  t.match(await fault(presented, { ...whole, explanations: swapped }), 'not of its subtopic')
})

t.test('a reply outside the contract is found, one inside is not', async (t) => {
  const question = await questioner.next('create_subtopics')
  const refused = {
    error: 'quota_exceeded',
    message: 'RPM limit exceeded',
    limit_type: 'rpm',
    retry_after: '7 seconds',
  }
  const after = { 'retry-after': '7' }
  const table: [Reply, RegExp | undefined][] = [
    [reply(429, refused, after), undefined],
    [reply(429, refused), /Retry-After/],
    [reply(429, { ...refused, retry_after: '8 seconds' }, after), /beside Retry-After/],
    [reply(429, { ...refused, limit_type: 'all' }, after), /limit_type/],
    [reply(503, { error: 'service_unavailable', message: 'Try again' }), undefined],
    [reply(503, { error: 'quota_unavailable', message: 'On hold', retry_after: '7 seconds' }, after), undefined],
    [reply(503, { error: 'quota_unavailable', message: 'On hold', retry_after: '7 seconds' }), /Retry-After/],
    [reply(503, { error: 'quota_unavailable', message: 'On hold' }, after), /beside Retry-After/],
    [reply(502, { error: 'service_unavailable', message: 'Try again' }), /status 502/],
    [reply(500, { error: 'internal_error', message: 'Something' }), /status 500/],
    [reply(504, { error: 'timeout' }), /without a message/],
    [{ ...reply(200, {}), body: Buffer.from('{"subtopics":[') }, /no JSON/],
    [reply(200, { ...subtopicsOf(question.marker), count: 14 }), /count/],
    [{ ...reply(200, subtopicsOf(question.marker)), headers: {} }, /x-request-id/],
    [reply(200, { ...subtopicsOf(question.marker), model: undefined }), /no model/],
    [reply(200, subtopicsOf(question.marker), { 'x-model': 'next' }), /X-Model next, and in the body best/],
  ]
  for (const [given, expected] of table) {
    const fault = await faultOf(question, 'id', given)
    if (expected === undefined) t.equal(fault, undefined)
    else t.match(fault, expected)
  }
})

t.test('asks on every route, nobody else ever the same', async (t) => {
  const seen = new Set<string>()
  for (const route of ['create_subtopics', 'create_presentation', 'image2topic', 'generate_image'] as Route[])
    for (let n = 0; n < 5; n++) seen.add((await questioner.next(route)).marker)
  t.equal(seen.size, 20)
})

t.test('the log reader finds what may not be in a log, and a line cut off by SIGKILL is none', async (t) => {
  const lines = [
    '{"level":40,"part":"quota","msg":"redis unavailable, entering degraded mode"}',
    '{"level":40,"cause":"restart","msg":"quota on hold: no new answers until it ends"}',
    '{"level":50,"error":"gemini_unavailable","msg":"Gemini cannot be reached"}',
    '{"level":50,"error":"internal_error","msg":"Something went wrong"}',
    '{"level":60,"msg":"closing after an uncaught error"}',
    '(node:1) MaxListenersExceededWarning: Possible EventEmitter memory leak detected',
    '{"level":40,"ms',
  ]
  const read = (killed: boolean) =>
    readLogs({ members: [{ name: 'one' } as never], outputs: () => [{ output: lines.join('\n'), killed }] })
  t.match(read(true), { degraded: 1, holds: 1 })
  t.equal(read(true).forbidden.length, 3)
  t.equal(read(false).forbidden.length, 4)
})

t.test('growth after the warm-up is seen, and one late collection of garbage is not taken for it', async (t) => {
  const series = (value: (second: number) => number) => {
    const samples = Array.from({ length: 90 }, (_, second) => ({ atMs: second * 1_000, value: value(second) }))
    return { memoryBytes: samples, handles: samples }
  }
  for (const growth of [memoryGrowth, handleGrowth]) {
    t.same(
      growth(
        series((second) => (second < 30 ? second : 100)),
        30_000,
      ),
      { first: 100, last: 100 },
    )
    t.same(
      growth(
        series((second) => (second > 85 ? 180 : 100)),
        30_000,
      ),
      { first: 100, last: 100 },
    )
    const leak = growth(
      series((second) => 100 + second),
      30_000,
    )
    t.ok(leak.last - leak.first >= 35)
    t.throws(
      () =>
        growth(
          series(() => 1),
          85_000,
        ),
      /too few/,
    )
  }
})
