import t from 'tap'
import { type Exposition, scrape, together } from './exposition.ts'
import { eventually, fleetForTest, post } from './fleet.ts'

const models = { text: 'gemini-3.8-flash', image: 'gemini-3.1-flash-image' }

const fleet = await fleetForTest(t, {
  env: {
    EMULATOR_LATENCY_MS: '250',
    EMULATOR_RPM: '1000',
    QUOTA_RPM: '100',
    QUOTA_ADAPTIVE_ESTIMATES: 'false', // so that it is known what a call of unknown cost was charged
    GEMINI_TEXT_MODEL: models.text,
  },
})

t.test('after known traffic every counter agrees with the requests, and with what Gemini received', async (t) => {
  const services = [...fleet.text, fleet.vision, fleet.imageGeneration]
  const look = async () => ({
    gateway: await scrape(fleet.gateway),
    services: together(await Promise.all(services.map(scrape))),
    gemini: (await (await fetch(`${fleet.emulator.url}/emulator/counters`)).json()) as GeminiTruth,
  })
  const before = await look()
  const asked = await knownTraffic(fleet.gateway.url, fleet.emulator.url)
  const after = await look()
  const gateway = after.gateway.since(before.gateway)
  const service = after.services.since(before.services)
  const gemini = after.gemini

  t.test('HTTP: each answer is counted once, at the gateway and at its service', async (t) => {
    for (const endpoint of ['create_subtopics', 'create_presentation', 'image2topic', 'generate_image']) {
      const here = asked.filter((answer) => answer.endpoint === endpoint)
      for (const status of new Set(here.map((answer) => String(answer.status)))) {
        const count = here.filter((answer) => String(answer.status) === status).length
        for (const [who, counters] of Object.entries({ gateway, service })) {
          t.equal(counters.sum('http_requests_total', { endpoint, status }), count, `${who}: ${endpoint} ${status}`)
        }
      }
      t.equal(gateway.sum('http_requests_total', { endpoint }), here.length, `${endpoint}: no other status`)
      t.equal(gateway.sum('http_request_duration_seconds_count', { endpoint }), here.length)
      t.equal(after.gateway.sum('http_requests_in_progress', { endpoint }), 0)
    }
  })

  t.test('errors: each is counted under its code where it was made', async (t) => {
    const errors = asked.filter((answer) => answer.status >= 400)
    for (const { endpoint, error } of errors) {
      const same = errors.filter((other) => other.endpoint === endpoint && other.error === error).length
      const at = endpoint === 'unknown' ? gateway : service
      t.equal(at.sum('application_errors_total', { endpoint, error_type: error ?? '' }), same, `${endpoint} ${error}`)
    }
    t.equal(gateway.sum('application_errors_total') + service.sum('application_errors_total'), errors.length)
    const refusedInput = errors.filter((answer) => answer.status === 400).length
    t.equal(service.sum('validation_failures_total', { validator: 'request' }), refusedInput)
  })

  t.test('Gemini: calls, tokens and durations are those that the emulator saw', async (t) => {
    const refused = gemini.faults['429_bare'] ?? 0
    t.equal(refused, 1)
    const calls = (labels = {}) => service.sum('gemini_api_calls_total', labels)
    t.equal(calls(), gemini.admitted + refused)
    t.equal(calls({ endpoint: 'image2topic' }), gemini.byTask.vision.admitted)
    t.equal(calls({ endpoint: 'generate_image', model: models.image }), gemini.byTask.image.admitted)
    t.equal(calls({ model: models.text }), gemini.byTask.text.admitted + gemini.byTask.vision.admitted + refused)
    t.equal(calls({ status: 'rate_limited' }), refused)
    t.equal(calls({ status: 'unavailable' }), gemini.faults['503'] ?? 0)
    t.equal(calls({ status: 'blocked' }), gemini.faults.safety_prompt ?? 0)
    t.equal(calls({ status: 'malformed' }), gemini.faults.wrong_json ?? 0)
    t.equal(service.sum('gemini_api_duration_seconds_count'), calls())
    t.ok(service.sum('gemini_api_duration_seconds_sum') >= 0.25 * calls({ status: 'success' }), 'each took 250 ms')
    t.equal(service.sum('gemini_api_tokens_total'), gemini.tokens.total)
    t.equal(service.sum('quota_exceeded_total', { limit_type: 'upstream' }), 1, 'the question after the 429')
    t.equal(service.sum('quota_exceeded_total'), 1)
  })

  t.test('estimates: tokens really used ÷ tokens reserved, of each successful call', async (t) => {
    for (const [endpoint, estimate] of Object.entries({
      create_subtopics: 1_500,
      create_presentation: 1_500,
      image2topic: 2_000,
      generate_image: 500,
    })) {
      const successes = service.sum('gemini_api_calls_total', { endpoint, status: 'success' })
      t.equal(service.sum('quota_estimate_ratio_count', { endpoint }), successes)
      if (endpoint === 'create_subtopics') continue // its blocked and malformed calls cost tokens too
      const tokens = service.sum('gemini_api_tokens_total', { endpoint })
      t.ok(Math.abs(service.sum('quota_estimate_ratio_sum', { endpoint }) * estimate - tokens) < 1e-6, endpoint)
    }
  })

  t.test('cache: every question is one lookup, and every stored answer lies in Redis', async (t) => {
    const lookups = (operation: string, result: string) => service.sum('cache_operations_total', { operation, result })
    t.equal(lookups('create_subtopics', 'memory'), 2)
    t.equal(lookups('create_subtopics', 'coalesced'), 4)
    t.equal(lookups('create_presentation', 'miss'), 3)
    t.equal(lookups('create_presentation', 'memory'), 3)
    t.equal(lookups('generate_image', 'miss'), 1)
    t.equal(lookups('generate_image', 'memory'), 1)
    t.equal(lookups('image2topic', 'miss'), 1)
    t.equal(lookups('image2topic', 'memory'), 1)
    const leading = asked.filter(({ endpoint, xCache, coalesced, error }) => {
      const afterLookup = error !== 'invalid_input' && error !== 'method_not_allowed'
      return endpoint === 'create_subtopics' && (xCache === 'miss' || xCache === null) && afterLookup && !coalesced
    })
    t.equal(lookups('create_subtopics', 'miss'), leading.length)
    const redis = fleet.redis.connect()
    const stored = (await redis.keys('cache:value:*')).length
    const picturesByHash = (await redis.keys('cache:value:{image:*')).length
    t.equal(service.sum('cache_operations_total', { result: 'store' }), stored - picturesByHash)
    t.equal(after.services.sum('cache_items_count', { layer: 'memory' }), stored)
    const text = await scrape(fleet.text[0] as { url: string })
    const hits =
      text.sum('cache_operations_total', { result: 'memory' }) +
      text.sum('cache_operations_total', { result: 'coalesced' })
    const misses = text.sum('cache_operations_total', { result: 'miss' })
    t.ok(Math.abs(text.sum('cache_hit_rate') - (100 * hits) / (hits + misses)) < 1e-6)
  })

  t.test('business: what was generated is what people were shown', async (t) => {
    const fresh = asked.filter((answer) => answer.status === 200 && answer.xCache === 'miss' && !answer.coalesced)
    const of = (endpoint: string) => fresh.filter((answer) => answer.endpoint === endpoint)
    const total = (endpoint: string, count: (body: Body) => number) =>
      of(endpoint).reduce((sum, { body }) => sum + count(body), 0)
    t.equal(
      service.sum('subtopics_generated_total'),
      total('create_subtopics', (body) => body.count ?? 0),
    )
    t.equal(
      service.sum('explanations_generated_total'),
      total('create_presentation', (body) => body.success_count ?? 0),
    )
    t.equal(service.sum('images_generated_total', { source: 'gemini' }), 1)
    t.equal(service.sum('images_generated_total', { source: 'cache' }), 1)
    t.equal(service.sum('content_quality_score_count', { content_type: 'subtopics' }), of('create_subtopics').length)
    t.equal(service.sum('content_quality_score_count', { content_type: 'topic' }), 1)
    const shown = total('create_subtopics', (body) => body.quality_score ?? 0)
    t.ok(Math.abs(service.sum('content_quality_score_sum', { content_type: 'subtopics' }) - shown) < 1e-6)
  })

  t.test('quota: every instance, also those that served nothing, shows what Redis holds', async (t) => {
    const unknownCost = 1_500 * (gemini.faults['503'] ?? 0) // charged as estimated, all others as settled
    const tokens = gemini.tokens.total + unknownCost
    const read = () => quotaStats(fleet.gateway.url)
    await eventually(read, (stats) => stats.tokens.per_minute.current === tokens) // settlements follow the answers
    const stats = await read()
    t.equal(stats.requests.per_minute.current, service.sum('gemini_api_calls_total'), 'no call was given back')
    const idle = await fleet.startText()
    for (const instance of [fleet.gateway, fleet.vision, idle]) {
      const seen = await scrape(instance)
      t.same(gaugesOf(seen), figuresOf(stats))
      t.equal(seen.sum('quota_degraded'), 0)
      t.equal(seen.sum('circuit_breaker_state', { service: 'redis' }), 0)
    }
  })
})

t.test('each kind of refusal is counted under the limit that refused', async (t) => {
  const { startText } = fleet
  const [minute, day] = await Promise.all([
    startText({ QUOTA_POOL: 'minute', QUOTA_RPM: '3', QUOTA_TPM: '4000', CLIENT_SHARE_PER_DAY: '1' }),
    startText({ QUOTA_POOL: 'day', QUOTA_RPD: '3', QUOTA_TPD: '4000', CLIENT_SHARE_PER_DAY: '1' }),
  ])
  for (const [instance, byRequests, byTokens] of [
    [minute, 'rpm', 'tpm'],
    [day, 'rpd', 'tpd'],
  ] as const) {
    // Each from a client of its own: none of them passes its share of the day.
    const ask = (n: number) =>
      post(`${instance.url}/api/create_subtopics`, { topic: `${byRequests} ${n}` }, { 'x-client': `client-${n}` })
    const refusals = async (answers: ReturnType<typeof ask>[]) =>
      (await Promise.all(answers)).filter(({ status }) => status === 429).map(({ body }) => body.limit_type)
    t.same(await refusals([1, 2, 3].map(ask)), [byTokens], 'three estimates at once are too many tokens')
    t.same(await refusals([ask(4)]), [], 'what was really used leaves room for one more')
    t.same(await refusals([ask(5)]), [byRequests])
    const seen = await scrape(instance)
    t.equal(seen.sum('quota_exceeded_total', { limit_type: byTokens }), 1)
    t.equal(seen.sum('quota_exceeded_total', { limit_type: byRequests }), 1)
    t.equal(seen.sum('quota_exceeded_total'), 2, 'and under no other')
  }
})

interface Body {
  error?: string
  count?: number
  success_count?: number
  quality_score?: number
  image?: string
}

interface Asked {
  endpoint: string
  status: number
  error: string | undefined
  xCache: string | null
  /** Answered by another request's call. */
  coalesced: boolean
  body: Body
}

interface GeminiTruth {
  admitted: number
  byTask: Record<'text' | 'vision' | 'image', { admitted: number }>
  faults: Record<string, number>
  tokens: { total: number }
}

/** Hits, misses, coalesced questions, faults, uploads and bad input, each known beforehand. Ends with a paused fleet. */
async function knownTraffic(url: string, emulator: string): Promise<Asked[]> {
  const asked: Asked[] = []
  const ask = async (endpoint: string, path: string, init: RequestInit = {}) => {
    const reply = await fetch(url + path, { method: 'POST', ...init })
    const body = (await reply.json()) as Body
    const answer = { endpoint, status: reply.status, error: body.error, xCache: reply.headers.get('x-cache'), body }
    asked.push({ ...answer, coalesced: false })
    return body
  }
  const send = (endpoint: string, body: object) =>
    ask(endpoint, `/api/${endpoint}`, { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
  const upload = (bytes: Uint8Array<ArrayBuffer>) => {
    const form = new FormData()
    form.set('image', new Blob([bytes]))
    return ask('image2topic', '/api/image2topic', { body: form })
  }
  const fault = (kind: string, times: number) => post(`${emulator}/emulator/faults`, { kind, times })

  for (const topic of ['Light', 'Sound', 'Heat', ' Light ', 'Sound ']) await send('create_subtopics', { topic })
  const alike = asked.length
  await Promise.all(Array.from({ length: 5 }, () => send('create_subtopics', { topic: 'Everybody asks this' })))
  for (const waiting of asked.slice(alike + 1)) waiting.coalesced = true
  const presentation = {
    topic: 'Light',
    educationLevel: 'school',
    levelOfDetail: 'normal',
    focus: ['Rays', 'Lenses', 'Colour'],
  }
  for (let n = 0; n < 2; n++) await send('create_presentation', presentation)
  const { image = '' } = await send('generate_image', { prompt: 'A leaf' })
  await send('generate_image', { prompt: 'A leaf' })
  const picture = Buffer.from(image, 'base64')
  for (let n = 0; n < 2; n++) await upload(picture)
  await upload(picture.subarray(0, 100))
  await upload(Buffer.from('This is no picture'))

  await send('create_subtopics', { topic: '' })
  await send('create_presentation', { topic: 'Light' })
  await send('generate_image', { prompt: 5 })
  await ask('unknown', '/api/nothing_here')
  await ask('unknown', '/api/create_subtopics', { method: 'DELETE' })

  await fault('503', 3)
  await send('create_subtopics', { topic: 'Gemini is down' })
  await fault('safety_prompt', 1)
  await send('create_subtopics', { topic: 'Refused content' })
  await fault('wrong_json', 1)
  await send('create_subtopics', { topic: 'Nonsense comes back' })
  await fault('429_bare', 1)
  for (let n = 0; n < 2; n++) await send('create_subtopics', { topic: 'Somebody else uses the key' })
  return asked
}

interface Windows {
  per_minute: { current: number; limit: number; remaining: number }
  per_day: { current: number; limit: number; remaining: number }
}

async function quotaStats(url: string): Promise<{ requests: Windows; tokens: Windows }> {
  return (await (await fetch(`${url}/api/quota/stats`)).json()) as { requests: Windows; tokens: Windows }
}

function figuresOf({ requests, tokens }: { requests: Windows; tokens: Windows }): Record<string, number> {
  return {
    quota_requests_current_minute: requests.per_minute.current,
    quota_requests_today: requests.per_day.current,
    quota_tokens_current_minute: tokens.per_minute.current,
    quota_tokens_today: tokens.per_day.current,
    quota_rpm_remaining: requests.per_minute.remaining,
    quota_rpd_remaining: requests.per_day.remaining,
    quota_tpm_remaining: tokens.per_minute.remaining,
    quota_tpd_remaining: tokens.per_day.remaining,
    quota_rpm_limit: requests.per_minute.limit,
    quota_rpd_limit: requests.per_day.limit,
    quota_tpm_limit: tokens.per_minute.limit,
    quota_tpd_limit: tokens.per_day.limit,
  }
}

function gaugesOf(seen: Exposition): Record<string, number> {
  const names = seen.series.filter((series) => /^quota_(requests|tokens|r|t)\w+$/.test(series))
  return Object.fromEntries(names.map((name) => [name, seen.at(name)]))
}
