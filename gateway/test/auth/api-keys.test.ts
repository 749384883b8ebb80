import { createHash } from 'node:crypto'
import { redisForTest } from '@knowalledge/testing'
import t from 'tap'
import { ApiKeys } from '../../src/auth/api-keys.ts'
import { clockForTest, dayMs } from './fixtures.ts'

t.test('a key is 256 random bits, and Redis holds nothing that could be sent as one', async (t) => {
  const redis = await redisForTest(t)
  const clock = clockForTest()
  const keys = new ApiKeys({ redis, clock })
  const { secret, key } = await keys.create({ tenant: 'school-a', name: 'web app', expiresAtMs: clock() + dayMs })
  t.match(secret, /^kae_[\w-]{43}$/)
  const digest = createHash('sha256').update(secret).digest('hex')
  t.same(key, {
    id: digest.slice(0, 16),
    digest,
    tenant: 'school-a',
    name: 'web app',
    createdAtMs: clock(),
    expiresAtMs: clock() + dayMs,
  })
  const kept = JSON.stringify(await redis.hgetall('gateway:keys'))
  t.ok(kept.includes(digest))
  t.notOk(kept.includes(secret.slice(4, 20)) || kept.includes(secret.slice(-20)))
  const another = await keys.create({ tenant: 'school-a', expiresAtMs: clock() + dayMs })
  t.not(another.secret, secret)
})

t.test('is found until it expires or is revoked, and its expiry is exact', async (t) => {
  const clock = clockForTest()
  const keys = new ApiKeys({ redis: await redisForTest(t), clock })
  const { key } = await keys.create({ tenant: 'a', expiresAtMs: clock() + dayMs })
  const { key: other } = await keys.create({ tenant: 'a', expiresAtMs: clock() + 2 * dayMs })
  clock.nowMs += dayMs - 1
  t.match(await keys.find(key.id), { id: key.id, tenant: { id: 'a', limits: {} } })
  clock.nowMs += 1
  t.equal(await keys.find(key.id), undefined)
  t.equal(await keys.revoke(other.id), true)
  t.equal(await keys.find(other.id), undefined)
  t.equal(await keys.revoke(other.id), false)
  t.match(await keys.list(), [{ id: key.id }], 'an expired one is listed until it is revoked')
})

t.test('two keys of one tenant share its limits; each limit is changed and taken away by itself', async (t) => {
  const clock = clockForTest()
  const keys = new ApiKeys({ redis: await redisForTest(t), clock })
  const make = (tenant: string) => keys.create({ tenant, expiresAtMs: clock() + dayMs })
  const [one, two, foreign] = [await make('a'), await make('a'), await make('b')]
  await keys.setLimits('a', { rpm: 5, tpd: 1_000 })
  for (const { key } of [one, two])
    t.same((await keys.find(key.id))?.tenant, { id: 'a', limits: { rpm: 5, tpd: 1_000 } })
  t.same((await keys.find(foreign.key.id))?.tenant, { id: 'b', limits: {} })
  await keys.setLimits('a', { rpm: undefined, rpd: 7 })
  t.same(await keys.limitsOf('a'), { tpd: 1_000, rpd: 7 })
  await keys.revoke(one.key.id)
  t.same(await keys.limitsOf('a'), { tpd: 1_000, rpd: 7 }, 'they are the tenant’s and not the key’s')
})
