import { emulatorForTest } from '@knowalledge/testing'
import t from 'tap'
import { readPauseAdvice } from '../src/pause-advice.ts'
import { clientFor, failureOf, question } from './build.ts'

t.test('every 429 over the wire becomes the right advice', async (t) => {
  const emulator = await emulatorForTest(t)
  const gemini = clientFor(t, emulator.baseUrl)
  type Kind = Parameters<typeof emulator.faults.add>[0]['kind']
  const advice = async (kind: Kind, retryDelay?: string) => {
    emulator.faults.clear()
    emulator.faults.add({ kind, ...(retryDelay && { retryDelay }) })
    const { kind: errorKind, reachedGemini, retryable, pause } = await failureOf(gemini.generateJson(question()))
    t.same(
      { errorKind, reachedGemini, retryable },
      { errorKind: 'rate_limited', reachedGemini: true, retryable: false },
    )
    return pause
  }
  const minute = { untilDayEnds: false, terminal: false }
  t.same(await advice('429_rpm', '34s'), { ...minute, limitType: 'rpm', delayMs: 35_000 }, 'one second is added')
  t.same(await advice('429_rpm', '1.5s'), { ...minute, limitType: 'rpm', delayMs: 2_500 }, 'floats')
  t.same(await advice('429_rpm', '34.219169168s'), { ...minute, limitType: 'rpm', delayMs: 35_220 }, 'rounded up')
  t.same(await advice('429_rpm', '0s'), { ...minute, limitType: 'rpm', delayMs: 1_000 })
  t.same(await advice('429_input_tpm', '7s'), { ...minute, limitType: 'tpm', delayMs: 8_000 })
  const day = { limitType: 'rpd', untilDayEnds: true, terminal: false }
  t.same(await advice('429_rpd', '2s'), day, 'the quotaId beats a tiny RetryInfo')
  t.same(await advice('429_rpd_and_rpm', '2s'), day, 'the worst of several wins')
  t.same(await advice('429_bare'), { ...minute, limitType: 'upstream' }, 'no details, no delay')
  t.match(await advice('429_limit_zero'), { terminal: true, untilDayEnds: false, delayMs: undefined })
  t.same(await advice('429_prepay'), { limitType: 'upstream', untilDayEnds: false, terminal: true })
  t.same(await advice('429_spending_cap'), { limitType: 'upstream', untilDayEnds: false, terminal: true })
})

t.test("the emulator's own limits are understood, and its delay is enough", async (t) => {
  const clock = { nowMs: Date.UTC(2026, 5, 1, 12) }
  const options = { limits: { rpm: 2, inputTpm: 1000, rpd: 4 }, clock: () => clock.nowMs }
  const { baseUrl } = await emulatorForTest(t, options)
  const gemini = clientFor(t, baseUrl)
  const ask = (prompt = 'Topic: Rome') => gemini.generateJson(question({ prompt }))
  await ask()
  clock.nowMs += 20_500
  await ask()
  const { pause } = await failureOf(ask())
  t.same(pause, { limitType: 'rpm', untilDayEnds: false, terminal: false, delayMs: 40_000 })
  clock.nowMs += 40_000
  await ask()
  clock.nowMs += 60_000
  t.match((await failureOf(ask('word '.repeat(1000)))).pause, { limitType: 'tpm' })
  await ask()
  t.same((await failureOf(ask())).pause, { limitType: 'rpd', untilDayEnds: true, terminal: false })
})

const QUOTA_FAILURE = 'type.googleapis.com/google.rpc.QuotaFailure'
const RETRY_INFO = 'type.googleapis.com/google.rpc.RetryInfo'

function fault(quotaIds: string[], retryDelay?: unknown, message = '') {
  const violations = quotaIds.map((quotaId) => ({ quotaId, quotaMetric: 'a/metric', quotaValue: '5' }))
  return {
    status: 'RESOURCE_EXHAUSTED',
    message,
    details: [
      ...(retryDelay === undefined ? [] : [{ '@type': RETRY_INFO, retryDelay }]),
      { '@type': QUOTA_FAILURE, violations },
    ],
  }
}

t.test('reads every quotaId that has been seen, paid tiers too, in any order of details', (t) => {
  const limitTypes = {
    'GenerateRequestsPerMinutePerProjectPerModel-FreeTier': 'rpm',
    GenerateRequestsPerMinutePerProjectPerModel: 'rpm',
    'GenerateRequestsPerDayPerProjectPerModel-PaidTier2': 'rpd',
    'GenerateContentInputTokensPerModelPerMinute-FreeTier': 'tpm',
    GenerateContentPaidTierInputTokensPerModelPerMinute: 'tpm',
    GenerateContentInputTokensPerModelPerDay: 'tpd',
    SomethingNew: 'upstream',
  }
  for (const [quotaId, limitType] of Object.entries(limitTypes)) {
    t.match(readPauseAdvice(fault([quotaId], '3s')), { limitType, terminal: false }, quotaId)
  }
  t.match(readPauseAdvice(fault(['XPerMinute', 'TokensPerMinute', 'TokensPerDay', 'YPerMinute'], '3s')), {
    limitType: 'tpd',
    untilDayEnds: true,
  })
  t.end()
})

t.test('takes the delay from the message when RetryInfo is missing or unusable', (t) => {
  const delayOf = (retryDelay: unknown, message?: string) =>
    readPauseAdvice(fault(['RequestsPerMinute'], retryDelay, message)).delayMs
  t.equal(delayOf(undefined, 'Please retry in 34.219169168s.'), 35_220)
  t.equal(delayOf(undefined, 'Please retry in 850.5ms.'), 1_851)
  t.equal(delayOf(undefined, 'Please retry in 1h2m3.5s.'), 3_724_500)
  t.equal(delayOf('soon', 'no delay here'), undefined)
  t.equal(delayOf(12), undefined)
  t.end()
})

t.test('limit: 0 is terminal, limit: 0.5 and limit: 05 are not', (t) => {
  const bare = (message: string) => readPauseAdvice({ status: '', message, details: [] })
  t.equal(bare('* Quota exceeded for metric: a/b, limit: 0, model: x').terminal, true)
  t.equal(bare('* Quota exceeded for metric: a/b, limit: 0\nPlease retry in 3s.').terminal, true)
  t.equal(bare('* Quota exceeded for metric: a/b, limit: 0.5, model: x').terminal, false)
  t.equal(bare('* Quota exceeded for metric: a/b, limit: 20, model: x').terminal, false)
  const zero = { '@type': QUOTA_FAILURE, violations: [{ quotaId: 'RequestsPerMinute', quotaValue: '0' }] }
  t.match(readPauseAdvice({ status: '', message: '', details: [zero] }), { limitType: 'rpm', terminal: true })
  t.end()
})

t.test('one metric with limit: 0 does not make another metric terminal', (t) => {
  const message =
    '* Quota exceeded for metric: a/tokens, limit: 0, model: x\n* Quota exceeded for metric: a/requests, limit: 5'
  const requests = { quotaId: 'RequestsPerMinute', quotaMetric: 'a/requests', quotaValue: '5' }
  const tokens = { quotaId: 'TokensPerMinute', quotaMetric: 'a/tokens' }
  const advice = (violations: object[]) =>
    readPauseAdvice({ status: '', message, details: [{ '@type': QUOTA_FAILURE, violations }] })
  t.match(advice([requests]), { limitType: 'rpm', terminal: false })
  t.match(advice([requests, tokens]), { limitType: 'tpm', terminal: true }, 'but both together are as bad as the worst')
  t.end()
})
