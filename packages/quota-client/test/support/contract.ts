import type { Test } from 'tap'
import type { QuotaClient, QuotaClientOptions, QuotaLimits } from '../../src/index.ts'
import { ask, heldBy, longTimeout, roomy } from './requests.ts'

type Options = Omit<QuotaClientOptions, 'redis' | 'pool'>
type Make = (options: Options) => QuotaClient

/** So long that a reply which a busy machine delays still shows a step of the clock: half of a 240th of it. */
const windowMs = 3_600_000

/** What every store promises, whatever keeps its state. `make` gives a client of a fresh pool. */
export function quotaContract(t: Test, make: Make): void {
  const clients: QuotaClient[] = []
  const client = (limits: Partial<QuotaLimits>, options: Partial<Options> = {}) => {
    const quota = make({ ...longTimeout, windowMs, newPool: 'open', limits: { ...roomy, ...limits }, ...options })
    clients.push(quota)
    return quota
  }
  t.afterEach(async () => {
    for (const quota of clients.splice(0)) await quota.close()
  })

  for (const [limitType, limits, size] of [
    ['rpm', { rpm: 5 }, { requests: 2 }],
    ['rpd', { rpd: 5 }, { requests: 2 }],
    ['tpm', { tpm: 50 }, { tokens: 20 }],
    ['tpd', { tpd: 50 }, { tokens: 20 }],
  ] as const)
    t.test(`fills ${limitType} to the limit, and names it when it refuses`, async (t) => {
      const quota = client(limits)
      for (let call = 0; call < 2; call++) t.ok((await quota.reserve(ask(size))).granted)
      const refused = await quota.reserve(ask(size))
      t.match(refused, {
        granted: false,
        reason: 'spent',
        limitType,
        limit: Object.values(limits)[0],
        degraded: false,
      })
      const rest = 'requests' in size ? { requests: 1 } : { tokens: 10 }
      t.ok((await quota.reserve(ask(rest))).granted, 'what is left can still be taken')
    })

  t.test('grants exactly what fits of a volley asked for in one turn', async (t) => {
    const quota = client({ rpm: 40 })
    const verdicts = await Promise.all(Array.from({ length: 100 }, () => quota.reserve(ask())))
    t.equal(verdicts.filter((verdict) => verdict.granted).length, 40)
    t.ok(
      verdicts.slice(0, 40).every((verdict) => verdict.granted),
      'first come, first served',
    )
  })

  t.test('decides each of a mixed volley as if it had come alone', async (t) => {
    const quota = client({ tpm: 100 })
    const sizes = [60, 50, 30, 20, 10]
    const verdicts = await Promise.all(sizes.map((tokens) => quota.reserve(ask({ tokens }))))
    t.same(
      verdicts.map((verdict) => verdict.granted),
      [true, false, true, false, true],
    )
  })

  t.test('lets batch calls fill a limit only to the safety margin, whatever else waits', async (t) => {
    const quota = client({ rpm: 10 }, { safetyMargin: 0.8 })
    const verdicts = await Promise.all([
      ...Array.from({ length: 9 }, () => quota.reserve(ask({ priority: 'batch' }))),
      ...Array.from({ length: 3 }, () => quota.reserve(ask())),
    ])
    t.equal(verdicts.slice(0, 9).filter((verdict) => verdict.granted).length, 8)
    t.match(verdicts[8], { granted: false, limitType: 'rpm', limit: 8 })
    t.equal(verdicts.slice(9).filter((verdict) => verdict.granted).length, 2)
    t.match(verdicts[11], { granted: false, limitType: 'rpm', limit: 10 })
  })

  t.test('gives back what a settled call did not use', async (t) => {
    const quota = client({ tpm: 100 })
    const reservation = heldBy(await quota.reserve(ask({ tokens: 100 })))
    t.notOk((await quota.reserve(ask({ tokens: 1 }))).granted)
    reservation.settle(40)
    t.ok((await quota.reserve(ask({ tokens: 60 }))).granted)
    t.notOk((await quota.reserve(ask({ tokens: 1 }))).granted)
  })

  t.test('charges an overrun', async (t) => {
    const quota = client({ tpm: 100 })
    heldBy(await quota.reserve(ask({ tokens: 10 }))).settle(95)
    t.ok((await quota.reserve(ask({ tokens: 5 }))).granted)
    t.notOk((await quota.reserve(ask({ tokens: 1 }))).granted)
  })

  t.test('gives back all of a released call, once', async (t) => {
    const quota = client({ rpm: 2, tpm: 100 })
    const reservation = heldBy(await quota.reserve(ask({ requests: 2, tokens: 100 })))
    reservation.release()
    reservation.release()
    reservation.settle(0)
    const verdicts = await Promise.all([1, 2, 3].map(() => quota.reserve(ask({ tokens: 40 }))))
    t.same(
      verdicts.map((verdict) => verdict.granted),
      [true, true, false],
    )
    t.match((await quota.usage()).requests.perDay, { current: 2 })
  })

  t.test('splits a reservation into parts that settle on their own and add up to it', async (t) => {
    const quota = client({ tpm: 1000 })
    const whole = heldBy(await quota.reserve(ask({ requests: 7, tokens: 1000 })))
    const parts = whole.split(3)
    t.same(
      parts.map((part) => [part.requests, part.tokens]),
      [
        [3, 334],
        [2, 333],
        [2, 333],
      ],
    )
    whole.settle(0)
    t.notOk((await quota.reserve(ask({ tokens: 1 }))).granted, 'the whole is not settled beside its parts')
    parts[0]?.settle(300)
    parts[1]?.release()
    const { granted } = await quota.reserve(ask({ tokens: 34 + 333 }))
    t.ok(granted)
    t.notOk((await quota.reserve(ask({ tokens: 1 }))).granted)
    t.match((await quota.usage()).requests.perMinute, { current: 6 })
    t.throws(() => whole.split(2), { message: /cannot be split/ })
  })

  t.test('refuses for good what is larger than a limit', async (t) => {
    const quota = client({ rpm: 10, tpm: 100 })
    t.match(await quota.reserve(ask({ tokens: 101 })), {
      granted: false,
      reason: 'too_large',
      limitType: 'tpm',
      limit: 100,
      retryAfterMs: Number.POSITIVE_INFINITY,
    })
    t.match(await quota.reserve(ask({ requests: 9, priority: 'batch' })), {
      reason: 'too_large',
      limitType: 'rpm',
      limit: 8,
    })
    const tenant = { id: 'small', limits: { rpm: 2 } }
    t.match(await quota.reserve(ask({ requests: 3, tenant })), {
      reason: 'too_large',
      limitType: 'rpm',
      limit: 2,
      tenant: 'small',
    })
    t.match((await quota.usage()).requests.perMinute, { current: 0 })
  })

  t.test('throws a RangeError for amounts that make no sense, and takes nothing', async (t) => {
    const quota = client({})
    for (const bad of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 1e300, 2 ** 53]) {
      const message = new RegExp(`must be a whole number from .* not ${String(bad).replace('+', '\\+')}`)
      await t.rejects(quota.reserve(ask({ requests: bad })), { name: 'RangeError', message })
      await t.rejects(quota.reserve(ask({ tokens: bad })), { name: 'RangeError', message })
      const reservation = heldBy(await quota.reserve(ask()))
      t.throws(() => reservation.settle(bad), { name: 'RangeError', message })
      t.throws(() => reservation.split(bad), { name: 'RangeError', message })
      reservation.release()
    }
    await t.rejects(quota.reserve(ask({ requests: 0 })), { name: 'RangeError', message: /^requests must .* from 1/ })
    await t.rejects(quota.pause({ limitType: 'rpm', untilMs: Number.NaN }), { name: 'RangeError' })
    t.match((await quota.usage()).requests.perDay, { current: 0 })
  })

  t.test('takes nothing from the pool when the tenant is refused, nor from the tenant when the pool is', async (t) => {
    const quota = client({ rpm: 10 })
    const tenant = { id: 'one', limits: { rpm: 4, tpm: 1000 } }
    heldBy(await quota.reserve(ask({ requests: 3, tokens: 10, tenant })))
    t.match(await quota.reserve(ask({ requests: 2, tenant })), {
      granted: false,
      reason: 'spent',
      limitType: 'rpm',
      limit: 4,
      tenant: 'one',
    })
    t.match((await quota.usage()).requests.perMinute, { current: 3 })
    const other = heldBy(await quota.reserve(ask({ requests: 7 })))
    const byPool = await quota.reserve(ask({ tenant }))
    t.match(byPool, { granted: false, limit: 10 })
    t.notOk('tenant' in byPool)
    other.release()
    t.ok((await quota.reserve(ask({ tenant }))).granted, 'the tenant still has its fourth')
    t.notOk((await quota.reserve(ask({ tenant }))).granted)
    t.ok((await quota.reserve(ask({ tenant: { id: 'two', limits: { rpm: 4 } } }))).granted, 'tenants are apart')
  })

  t.test('corrects the account of the tenant as well', async (t) => {
    const quota = client({})
    const tenant = { id: 'one', limits: { tpm: 100 } }
    const reservation = heldBy(await quota.reserve(ask({ tokens: 100, tenant })))
    t.notOk((await quota.reserve(ask({ tokens: 1, tenant }))).granted)
    reservation.settle(30)
    t.ok((await quota.reserve(ask({ tokens: 70, tenant }))).granted)
    t.notOk((await quota.reserve(ask({ tokens: 1, tenant }))).granted)
  })

  t.test('shows the four windows', async (t) => {
    const quota = client({ rpm: 15, rpd: 1500, tpm: 1000, tpd: 50_000 })
    heldBy(await quota.reserve(ask({ requests: 2, tokens: 125 })))
    const usage = await quota.usage()
    t.match(usage, { pause: null, hold: null, degraded: false, instances: 1 })
    t.match(usage.requests.perMinute, { current: 2, limit: 15, remaining: 13, percentage: 13.3 })
    t.match(usage.tokens.perMinute, { current: 125, limit: 1000, remaining: 875, percentage: 12.5 })
    t.match(usage.requests.perDay, { current: 2, limit: 1500, remaining: 1498, percentage: 0.1 })
    t.match(usage.tokens.perDay, { current: 125, limit: 50_000, remaining: 49_875, percentage: 0.3 })
    const { resetsInMs } = usage.requests.perMinute
    const ringMs = windowMs + longTimeout.transitMs + windowMs / 240
    t.ok(resetsInMs > windowMs / 2 && resetsInMs <= ringMs + ringMs / 240 + 1, 'the ring and one bucket')
    t.ok(usage.requests.perDay.resetsInMs > 0 && usage.requests.perDay.resetsInMs <= 25 * 3_600_000)
  })

  t.test('refuses while the provider has paused it, and says until when', async (t) => {
    const quota = client({})
    const untilMs = Date.now() + 30_000
    await quota.pause({ limitType: 'tpm', untilMs })
    await quota.pause({ limitType: 'upstream', untilMs: untilMs - 10_000 })
    const refused = await quota.reserve(ask())
    t.match(refused, { granted: false, reason: 'paused', limitType: 'tpm', limit: roomy.tpm })
    t.ok(!refused.granted && refused.retryAfterMs > 25_000 && refused.retryAfterMs <= 30_002)
    t.match((await quota.usage()).pause, { limitType: 'tpm', untilMs })
  })

  t.test('starts a granted call, and each part of one, until it is settled or released', async (t) => {
    const quota = client({})
    const [settled, released, whole] = await Promise.all([1, 2, 3].map(() => quota.reserve(ask({ requests: 2 }))))
    if (!settled?.granted || !released?.granted || !whole?.granted) return t.fail('the pool is empty')
    t.ok(settled.reservation.start())
    settled.reservation.settle(0)
    t.notOk(settled.reservation.start())
    released.reservation.release()
    t.notOk(released.reservation.start())
    const parts = whole.reservation.split(2)
    t.notOk(whole.reservation.start(), 'its parts are started instead')
    t.same(
      parts.map((part) => part.start()),
      [true, true],
    )
  })
}
