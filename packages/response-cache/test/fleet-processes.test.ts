import { redisServerForTest } from '@knowalledge/testing'
import t from 'tap'
import { fleetForTest, type Member } from './fixtures/fleet.ts'

const KEY = 'create_subtopics:photosynthesis'
const TAG = 'topic:photosynthesis'
const produced = { value: { answer: 42 }, store: true }

/** The member whose production is running; all others wait. */
function leaderOf(members: Member[]): Promise<Member> {
  return Promise.race(members.map((member) => member.heard('producing').then(() => member)))
}

/** Every member claims the key, `count` times, and knows whether it leads or waits. */
async function claimAll(members: Member[], count = 1) {
  const claims = members.map((member) => member.claim(KEY, { count, tags: [TAG] }))
  const states = (await Promise.all(claims.map((claim) => claim.states()))).flat()
  const leader = await leaderOf(members)
  const claimOf = (member: Member) => claims[members.indexOf(member)] as (typeof claims)[number]
  const others = members.filter((member) => member !== leader)
  const results = async () => (await Promise.all(claims.map((claim) => claim.results()))).flat()
  return { states, leader, others, claimOf, results }
}

function productions(members: Member[]): number {
  return members.reduce((sum, member) => sum + member.count('producing'), 0)
}

t.test('1,000 identical claims in four processes make exactly one production', async (t) => {
  const { port } = await redisServerForTest(t)
  const members = await fleetForTest(t, port, 4)
  const { states, leader, results } = await claimAll(members, 250)
  t.same(states.toSorted(), ['lead', ...Array(999).fill('wait')])
  leader.send({ type: 'deliver', key: KEY, produced })
  const answers = await results()
  t.equal(answers.length, 1_000)
  t.match(answers, Array(1_000).fill({ value: produced.value, layer: 'miss' }), 'all get the answer')
  t.equal(answers.filter((answer) => 'coalesced' in answer && answer.coalesced).length, 999)
  t.equal(productions(members), 1)
  for (const member of members) t.same(await member.claim(KEY).states(), ['hit'])
})

t.test('a leader that is killed is taken over within 2 s by exactly one of those who wait', async (t) => {
  const { port } = await redisServerForTest(t)
  const members = await fleetForTest(t, port, 4)
  const { leader, others, claimOf } = await claimAll(members, 5)
  leader.process.kill('SIGKILL')
  const killedAtMs = performance.now()
  const second = await leaderOf(others)
  t.ok(performance.now() - killedAtMs < 2_000, 'within 2 s')
  second.send({ type: 'deliver', key: KEY, produced })
  for (const member of others) {
    t.match(await claimOf(member).results(), Array(5).fill({ value: produced.value, layer: 'miss' }))
  }
  t.equal(productions(others), 1, 'without a stampede')
  t.ok(second.reports.some((report) => report.type === 'event' && report.event.type === 'taken_over'))
})

t.test('a leader that was paused does not touch the lease or the value of its successor', async (t) => {
  const server = await redisServerForTest(t)
  const redis = server.connect()
  const members = await fleetForTest(t, server.port, 2)
  const { leader: paused, others, claimOf } = await claimAll(members)
  paused.process.kill('SIGSTOP')
  const successor = await leaderOf(others)
  paused.process.kill('SIGCONT')
  paused.send({ type: 'deliver', key: KEY, produced: { value: 'from the grave', store: true } })
  t.match(await claimOf(paused).results(), [{ value: 'from the grave' }], 'its own caller is answered')
  t.equal(await redis.exists(`fleet:lease:{${KEY}}`), 1, "the successor's lease still stands")
  t.equal(await redis.exists(`fleet:value:{${KEY}}`), 0)
  successor.send({ type: 'deliver', key: KEY, produced })
  t.match(await claimOf(successor).results(), [{ value: produced.value }])
  t.match(await redis.get(`fleet:value:{${KEY}}`), /"value":\{"answer":42\}/)
})

t.test('a failure reaches everyone who waits in the fleet, and nobody tries again behind their backs', async (t) => {
  const { port } = await redisServerForTest(t)
  const members = await fleetForTest(t, port, 3)
  const { leader, results } = await claimAll(members, 10)
  leader.send({ type: 'fail', key: KEY, message: 'Gemini is down' })
  t.same(await results(), Array(30).fill({ error: { name: 'RangeError', message: 'Gemini is down' } }))
  t.equal(productions(members), 1)
})

t.test('an answer that is not stored still reaches those who wait, and no one after them', async (t) => {
  const { port } = await redisServerForTest(t)
  const members = await fleetForTest(t, port, 2)
  const { leader, results } = await claimAll(members)
  leader.send({ type: 'deliver', key: KEY, produced: { value: 'poor', store: false } })
  t.match(await results(), Array(2).fill({ value: 'poor', layer: 'miss' }))
  t.same(await leader.claim(KEY).states(), ['lead'])
})

t.test('an answer too large for Redis still reaches those who wait', async (t) => {
  const server = await redisServerForTest(t)
  const members = await fleetForTest(t, server.port, 2)
  const { leader, results } = await claimAll(members)
  const value = 'x'.repeat(200_000)
  leader.send({ type: 'deliver', key: KEY, produced: { value, store: true } })
  const answers = await results()
  t.ok(answers.every((answer) => 'value' in answer && answer.value === value))
  t.equal(productions(members), 1)
  t.equal(await server.connect().exists(`fleet:value:{${KEY}}`), 0)
})

t.test('a call goes on while anyone in the fleet waits, and is cancelled when nobody does any more', async (t) => {
  const { port } = await redisServerForTest(t)
  const members = await fleetForTest(t, port, 2)
  const { leader, others, claimOf } = await claimAll(members)
  const [other] = others as [Member]
  claimOf(leader).leave()
  t.match(await claimOf(leader).results(), [{ error: { message: 'left' } }], 'its own caller leaves at once')
  t.same(await leader.claim('create_subtopics:other').states(), ['lead']) // its connection is past the question by now
  t.equal(leader.count('aborted'), 0, 'goes on for the one elsewhere')
  claimOf(other).leave()
  t.match(await claimOf(other).results(), [{ error: { message: 'left' } }])
  await leader.heard('aborted')
  t.same(await other.claim(KEY).states(), ['lead'], 'the key is free again')
})

t.test('those who wait for an instance that closes lead at once', async (t) => {
  const { port } = await redisServerForTest(t)
  const members = await fleetForTest(t, port, 2)
  const { leader, others, claimOf } = await claimAll(members)
  leader.send({ type: 'close' })
  const next = await leaderOf(others)
  next.send({ type: 'deliver', key: KEY, produced })
  t.match(await claimOf(next).results(), [{ value: produced.value }])
  t.match(await claimOf(leader).results(), [{ error: { message: /closed/ } }])
})

t.test("an invalidation in one process reaches every other process's memory within 1 s", async (t) => {
  const { port } = await redisServerForTest(t)
  const members = await fleetForTest(t, port, 3)
  const { leader, others, results } = await claimAll(members)
  leader.send({ type: 'deliver', key: KEY, produced })
  await results()
  for (const member of members) t.same(await member.claim(KEY, { tags: [TAG] }).states(), ['hit'])
  leader.send({ type: 'invalidate', tags: [TAG] })
  const sentAtMs = performance.now()
  for (const member of others) {
    let states: string[]
    do states = await member.claim(KEY, { tags: [TAG] }).states()
    while (states.includes('hit'))
  }
  t.ok(performance.now() - sentAtMs < 1_000)
})
