import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { redisForTest, type TestContext } from '@knowalledge/testing'
import t from 'tap'
import { encodeEntry, headerOf } from '../src/codec.ts'
import { defineScripts } from '../src/scripts.ts'

const folder = new URL('../lua/', import.meta.url)

for (const file of readdirSync(folder)) {
  t.test(`${file} uses the KEYS and ARGV its header names, in their order`, async (t) => {
    const lua = readFileSync(new URL(file, folder), 'utf8')
    for (const kind of ['KEYS', 'ARGV'] as const) {
      const named = lua.match(new RegExp(`^-- ${kind}: (.+)$`, 'm'))?.[1]?.split(', ') ?? []
      t.ok(named.length > 0, `the header names its ${kind}`)
      t.same(locals(lua, kind), kind === 'KEYS' ? named.map((name) => `${name}Key`) : named)
      const uses = lua.match(new RegExp(`${kind}\\[`, 'g')) ?? []
      t.equal(uses.length, named.length, `${kind} is read once for each name`)
    }
    t.match(lua, /^-- RETURNS: /m)
    t.notMatch(lua, /redis\.p?call\('\w+', '(?!PUBLISH)/, 'every key comes through KEYS')
  })
}

/** The local names given to `KEYS[1]`, `KEYS[2]`, … in that order. */
function locals(lua: string, kind: 'KEYS' | 'ARGV'): string[] {
  const byIndex: string[] = []
  for (const [, names = '', values = ''] of lua.matchAll(/^local ([\w, ]+) = ((?:KEYS|ARGV)\[.+)$/gm)) {
    const nameList = names.split(', ')
    for (const [position, value] of values.split(', ').entries()) {
      const index = value.match(new RegExp(`^${kind}\\[(\\d+)\\]$`))?.[1]
      if (index) byIndex[Number(index) - 1] = nameList[position] ?? ''
    }
  }
  return byIndex
}

const keys = { value: 'v{k}', lease: 'l{k}', waiters: 'w{k}', outcome: 'o{k}' }
const claimStep = { leaseMs: 60_000, seenHeader: '', awaitedToken: '', waiterMs: 60_000 }
const end = { value: '', valueMs: 60_000, outcome: '"over"', outcomeMs: 60_000, channel: 'bus', message: 'm' }
const text = encodeEntry({ id: randomUUID(), storedAtMs: 1, incarnation: 'r:i', generations: {} }, '1')

async function scriptsForTest(t: TestContext) {
  const redis = await redisForTest(t)
  return { redis, scripts: defineScripts(redis) }
}

t.test('claim: one leads, the others learn who', async (t) => {
  const { scripts } = await scriptsForTest(t)
  t.same(await scripts.claim(keys, { ...claimStep, token: 'a' }), { kind: 'lead', isForeign: false })
  t.same(await scripts.claim(keys, { ...claimStep, token: 'b' }), { kind: 'wait', owner: 'a', progress: '' })
  t.same(
    await scripts.claim(keys, { ...claimStep, token: 'a' }),
    { kind: 'lead', isForeign: false },
    'a repeated question, the same answer',
  )
})

t.test('claim: nobody leads after an answer they have not seen', async (t) => {
  const { redis, scripts } = await scriptsForTest(t)
  await redis.set(keys.value, text)
  t.same(await scripts.claim(keys, { ...claimStep, token: 'a' }), { kind: 'changed', value: text })
  t.equal(await redis.exists(keys.lease), 0)
  t.same(await scripts.claim(keys, { ...claimStep, token: 'a', seenHeader: headerOf(text) }), {
    kind: 'lead',
    isForeign: false,
  })
})

t.test('claim: a large value is left to a GET, and a text that is not ours is told', async (t) => {
  const { redis, scripts } = await scriptsForTest(t)
  await redis.set(keys.value, text + ' '.repeat(64 * 1024))
  t.same(await scripts.claim(keys, { ...claimStep, token: 'a' }), { kind: 'changed', value: undefined })
  await redis.set(keys.value, 'of somebody else')
  t.same(await scripts.claim(keys, { ...claimStep, token: 'a' }), { kind: 'lead', isForeign: true })
})

t.test('claim: the outcome is for those who awaited that very production', async (t) => {
  const { scripts } = await scriptsForTest(t)
  await scripts.claim(keys, { ...claimStep, token: 'a' })
  await scripts.claim(keys, { ...claimStep, token: 'b' })
  t.equal(await scripts.finish(keys, { ...end, token: 'a' }), 'done')
  t.same(await scripts.claim(keys, { ...claimStep, token: 'b', awaitedToken: 'a' }), {
    kind: 'outcome',
    text: '"over"',
  })
  t.same(await scripts.claim(keys, { ...claimStep, token: 'c', awaitedToken: 'z' }), { kind: 'lead', isForeign: false })
})

t.test(
  'renew: what the leader tells of its progress reaches those who wait for it, and lives as long as its lease',
  async (t) => {
    const { redis, scripts } = await scriptsForTest(t)
    const hold = { token: 'a', leaseMs: 60_000, progress: 'third in line' }
    const turn = () => scripts.claim(keys, { ...claimStep, token: 'b' })
    await scripts.claim(keys, { ...claimStep, token: 'a' })
    await scripts.renew(keys, hold)
    t.match(await turn(), { kind: 'wait', progress: 'third in line' })
    t.ok((await redis.pttl(keys.outcome)) > 50_000)
    await scripts.renew(keys, { ...hold, progress: '' })
    t.match(await turn(), { kind: 'wait', progress: '' })
  },
)

t.test('renew: counts who waits, takes up what nobody took, and leaves a successor alone', async (t) => {
  const { redis, scripts } = await scriptsForTest(t)
  const hold = { token: 'a', leaseMs: 60_000, progress: '' }
  await scripts.claim(keys, { ...claimStep, token: 'a', leaseMs: 1_000 })
  t.same(await scripts.renew(keys, hold), { owned: true, interest: 0 })
  t.ok((await redis.pttl(keys.lease)) > 1_000)
  await scripts.claim(keys, { ...claimStep, token: 'b' })
  await scripts.claim(keys, { ...claimStep, token: 'b' })
  await scripts.claim(keys, { ...claimStep, token: 'c' })
  t.same(await scripts.renew(keys, hold), { owned: true, interest: 2 })
  await redis.del(keys.lease)
  t.same(await scripts.renew(keys, hold), { owned: true, interest: 2 })
  t.equal(await redis.get(keys.lease), 'a')
  await redis.set(keys.lease, 'b')
  t.same(await scripts.renew(keys, hold), { owned: false, interest: 0 })
  t.equal(await redis.get(keys.lease), 'b')
})

t.test('finish: writes nothing over a successor, and the outcome only when somebody waits', async (t) => {
  const { redis, scripts } = await scriptsForTest(t)
  await scripts.claim(keys, { ...claimStep, token: 'b' })
  t.equal(await scripts.finish(keys, { ...end, token: 'a', value: text }), 'lost')
  t.same(await redis.keys('*'), [keys.lease])
  t.equal(await scripts.finish(keys, { ...end, token: 'b', value: text, outcome: '' }), 'done')
  t.same(await redis.keys('*'), [keys.value])
  t.notMatch(await redis.info('commandstats'), /cmdstat_publish/, 'nobody waits, so nobody is woken')
  await scripts.claim(keys, { ...claimStep, token: 'a', seenHeader: headerOf(text) })
  await scripts.claim(keys, { ...claimStep, token: 'b', seenHeader: headerOf(text) })
  t.equal(await scripts.finish(keys, { ...end, token: 'a', outcome: '' }), 'wanted')
  t.equal(await redis.get(keys.lease), 'a', 'the lease is held until the outcome is there')
  t.equal(await scripts.finish(keys, { ...end, token: 'a' }), 'done')
  t.match(await redis.info('commandstats'), /cmdstat_publish:calls=1,/)
})

t.test('release: not while somebody else waits, unless forced, and never the lease of another', async (t) => {
  const { redis, scripts } = await scriptsForTest(t)
  const step = { channel: 'bus', message: 'm', force: false }
  await scripts.claim(keys, { ...claimStep, token: 'a' })
  await scripts.claim(keys, { ...claimStep, token: 'b' })
  t.equal(await scripts.release(keys, { ...step, token: 'a' }), false)
  t.equal(await scripts.release(keys, { ...step, token: 'b', force: true }), true, 'b stops waiting')
  t.equal(await redis.get(keys.lease), 'a')
  t.equal(await scripts.release(keys, { ...step, token: 'a' }), true)
  t.equal(await redis.exists(keys.lease), 0)
  await scripts.claim(keys, { ...claimStep, token: 'a' })
  await scripts.claim(keys, { ...claimStep, token: 'b' })
  t.equal(await scripts.release(keys, { ...step, token: 'a', force: true }), true)
  t.equal(await redis.exists(keys.lease), 0)
})
