import { inspect } from 'node:util'
import { emulatorForTest } from '@knowalledge/testing'
import t from 'tap'
import { answerWith, clientFor, failureOf, KEY, MODELS, question, rawServer, sendJson } from './build.ts'

type FaultKind = Parameters<Awaited<ReturnType<typeof emulatorForTest>>['faults']['add']>[0]['kind']

const EXPECTED: [FaultKind, object][] = [
  ['500', { kind: 'unavailable', retryable: true, message: /^500 INTERNAL: / }],
  ['503', { kind: 'unavailable', retryable: true, message: /^503 UNAVAILABLE: .*high demand/ }],
  ['400_invalid_key', { kind: 'not_configured', message: /^400 INVALID_ARGUMENT: API key not valid/ }],
  ['400_free_tier', { kind: 'not_configured', message: /free tier/ }],
  ['401', { kind: 'not_configured', message: /^401 UNAUTHENTICATED/ }],
  ['403_no_key', { kind: 'not_configured', message: /unregistered callers/ }],
  ['403_leaked_key', { kind: 'not_configured', message: /leaked/ }],
  ['403_suspended_key', { kind: 'not_configured', message: /'api_key:\[key\]' has been suspended/ }],
  ['404', { kind: 'not_found', message: /^404 NOT_FOUND: models\/gemini-3\.8-flash is not found/ }],
  ['400_invalid_argument', { kind: 'rejected', message: /invalid argument/ }],
  ['truncated_json', { kind: 'malformed' }],
  ['wrong_json', { kind: 'malformed', message: /not JSON/, usage: { promptTokens: 3 } }],
  ['max_tokens', { kind: 'cut_off', message: /cut off/, usage: { promptTokens: 3, outputTokens: Number } }],
  ['empty_candidates', { kind: 'malformed', message: /no candidates/, usage: { totalTokens: 3 } }],
  ['safety_prompt', { kind: 'blocked', message: /prompt: PROHIBITED_CONTENT/, usage: { totalTokens: 3 } }],
  ['safety_candidate', { kind: 'blocked', message: /answer: SAFETY/, usage: { totalTokens: 3 } }],
  ['429_bare', { kind: 'rate_limited' }],
]

t.test('tells every failure of Google for what it is', async (t) => {
  const emulator = await emulatorForTest(t, { limits: { rpm: Infinity } })
  const gemini = clientFor(t, emulator.baseUrl)
  for (const [kind, expected] of EXPECTED) {
    emulator.faults.clear()
    emulator.faults.add({ kind, times: 1 })
    const error = await failureOf(gemini.generateJson(question()))
    t.match(error, { name: 'GeminiError', reachedGemini: true, retryable: false, ...expected }, kind)
    t.notMatch(inspect(error, { depth: Infinity, showHidden: true }), new RegExp(KEY), 'the key stays secret')
    t.match(await gemini.generateJson(question()), { modelVersion: String }, 'the next call is served')
  }
})

t.test('an answer with thoughts is no failure', async (t) => {
  const emulator = await emulatorForTest(t)
  emulator.faults.add({ kind: 'thought_parts' })
  const gemini = clientFor(t, emulator.baseUrl)
  t.match((await gemini.generateJson(question())).value, { subtopics: Array })
  const signal = new AbortController().signal
  t.match((await gemini.generatePicture({ model: MODELS.image, prompt: 'A cat', signal })).value, {
    mimeType: 'image/png',
  })
})

t.test('every finish reason but STOP is a failure, and filters are told from faults', async (t) => {
  let finishReason: string | undefined
  const { baseUrl } = await rawServer(t, (response) => {
    const { candidates, ...rest } = answerWith({ text: '{"looks":"fine"}' })
    sendJson(response, { ...rest, candidates: [{ ...candidates[0], finishReason }] })
  })
  const gemini = clientFor(t, baseUrl)
  const kindFor = async (reason: string) => {
    finishReason = reason
    const { kind, usage } = await failureOf(gemini.generateJson(question()))
    t.equal(usage?.totalTokens, 204)
    return kind
  }
  for (const reason of ['SAFETY', 'RECITATION', 'BLOCKLIST', 'PROHIBITED_CONTENT', 'SPII', 'IMAGE_SAFETY']) {
    t.equal(await kindFor(reason), 'blocked', reason)
  }
  t.equal(await kindFor('MAX_TOKENS'), 'cut_off')
  for (const reason of ['LANGUAGE', 'OTHER', 'MALFORMED_FUNCTION_CALL', 'MALFORMED_RESPONSE', 'NEW_ONE']) {
    t.equal(await kindFor(reason), 'malformed', reason)
  }
  finishReason = undefined
  t.same((await gemini.generateJson(question())).value, { looks: 'fine' }, 'none given is none complained of')
})

t.test('nonsense in place of an answer is malformed', async (t) => {
  const nonsense: unknown[] = [
    null,
    [],
    {},
    'text',
    { candidates: 'no' },
    { candidates: [null] },
    answerWith(),
    answerWith({ text: ' ' }),
  ]
  const answers = [...nonsense]
  const { baseUrl } = await rawServer(t, (response) => sendJson(response, answers.shift()))
  const gemini = clientFor(t, baseUrl)
  for (const answer of nonsense) {
    const error = await failureOf(gemini.generateJson(question()))
    t.match(error, { kind: 'malformed', reachedGemini: true, retryable: false }, JSON.stringify(answer))
  }
})

t.test('an error page of a proxy is no JSON and still told by its status', async (t) => {
  const statuses = [502, 504, 429, 403, 418, 302]
  const { baseUrl } = await rawServer(t, (response) => {
    response.writeHead(statuses.shift() ?? 500, { location: '/elsewhere' }).end('<html>nginx</html>')
  })
  const gemini = clientFor(t, baseUrl)
  const kinds = []
  for (let i = 0; i < 6; i += 1) kinds.push((await failureOf(gemini.generateJson(question()))).kind)
  t.same(kinds, ['unavailable', 'unavailable', 'rate_limited', 'not_configured', 'rejected', 'malformed'])
})

t.test('an answer beyond 32 MiB is not read to its end', async (t) => {
  const { baseUrl } = await rawServer(t, (response) => {
    response.writeHead(200)
    const chunk = Buffer.alloc(1024 * 1024, 'a')
    const more = () => {
      while (!response.destroyed && response.write(chunk));
    }
    response.on('drain', more)
    more()
  })
  const error = await failureOf(clientFor(t, baseUrl).generateJson(question()))
  t.match(error, { kind: 'malformed', message: /larger than/, reachedGemini: true })
})
