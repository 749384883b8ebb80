// The faults of `npm run e2e`: that all of them are planned, and do what they are called.
import { once } from 'node:events'
import { connect } from 'node:net'
import { randomFrom } from '@knowalledge/gemini-emulator'
import { openBackends } from '@knowalledge/generation'
import { createLogger } from '@knowalledge/service-kit'
import { loadConfig } from '@knowalledge/text-generation/config'
import t from 'tap'
import { holdMs } from './proof/chaos-judge.ts'
import { faultKinds, type PlainRedisFault, planFaults } from './proof/faults.ts'
import { FleetRedis, on } from './proof/fleet-redis.ts'
import { isGrant } from './proof/process-faults.ts'
import { playOnRedis } from './proof/redis-faults.ts'

const setting = {
  forMs: undefined,
  windowMs: 6_000,
  holdMs: holdMs(6_000, 1_000),
  changes: [{ transitMs: 500, rpm: 18 }],
  running: ['gateway 1', 'gateway 2', 'text 1', 'text 2', 'vision 1', 'vision 2', 'image 1', 'image 2'],
  services: ['text 1', 'text 2', 'vision 1', 'vision 2', 'image 1', 'image 2'],
  spare: ['gateway 3', 'text 3'],
}
const planned = (seed: string, forMs?: number) => planFaults(randomFrom(seed), { ...setting, forMs })

t.test('the same seed plans the same faults, another one others, on each track one after the other', async (t) => {
  t.same(planned('7'), planned('7'))
  t.notSame(planned('7'), planned('8'))
  for (const on of ['processes', 'redis', 'gemini'] as const) {
    const ends = planned('7')
      .filter((step) => step.on === on)
      .map(({ atMs, forMs }) => [atMs, atMs + forMs] as const)
    t.ok(
      ends.every(([from], at) => at === 0 || from >= (ends[at - 1]?.[1] ?? 0)),
      'one after the other',
    )
  }
})

t.test('every kind of fault is planned, also in the short form, which ends in time', async (t) => {
  for (let seed = 0; seed < 200; seed++) {
    const lastMs = planned(String(seed)).at(-1)?.atMs ?? 0
    if (lastMs > 105_000) t.fail(`seed ${seed} takes ${lastMs} ms`)
    const kinds = new Set(planned(String(seed)).map(({ on, what }) => `${on} ${what}`))
    const missing = faultKinds.filter((kind) => !kinds.has(kind))
    if (missing.length > 0) t.fail(`seed ${seed} lacks ${missing.join(', ')}`)
  }
  t.ok((planned('1', 600_000).at(-1)?.atMs ?? 0) > 500_000, 'the long form goes on')
  const whats = planned('1').map(({ what }) => what as string)
  const change = whats.indexOf('change of configuration')
  t.ok(whats.indexOf('SIGKILL of all, Redis emptied') > change, 'a change is taken back')
})

t.test('a partition leaves some services connected, and what lasts longer than a window does', async (t) => {
  for (let seed = 0; seed < 50; seed++)
    for (const step of planned(String(seed))) {
      if (step.what.includes('longer than a window')) t.ok(step.forMs > setting.windowMs)
      if ('members' in step) t.ok(step.members.length > 0 && step.members.length < setting.services.length)
    }
})

/** What a process of this name reads, or nothing when it is cut off. */
async function readKey(redis: FleetRedis, name: string): Promise<string> {
  const socket = connect(Number(new URL(redis.urlFor(name)).port), '127.0.0.1')
  let text = ''
  socket.setEncoding('latin1').on('data', (part) => (text += part))
  socket.on('error', () => {}) // cut off: the close follows
  socket.write('GET key\r\nQUIT\r\n')
  await once(socket, 'close')
  return /^\$\d+\r\n(.*)\r\n/.exec(text)?.[1] ?? ''
}

t.test('each process has its own way to Redis, and a failover leads all of them to the other server', async (t) => {
  const redis = await FleetRedis.start(t, ['one', 'other'])
  const read = () => Promise.all(['one', 'other'].map((name) => readKey(redis, name)))
  await on(redis.server, (client) => client.set('key', 'kept'))
  const partition = { on: 'redis', what: 'partition of some instances', members: ['one'], mode: 'refuse' } as const
  await playOnRedis(redis, partition, async () => t.same(await read(), ['', 'kept']))
  t.same(await read(), ['kept', 'kept'])
  const primary = redis.server
  await playOnRedis(redis, { on: 'redis', what: 'failover that loses writes' }, () =>
    on(primary, (client) => client.set('key', 'lost')),
  )
  t.not(redis.server, primary)
  t.same(await read(), ['kept', 'kept'])
  t.equal(await on(redis.server, (client) => client.set('key', 'new')), 'OK')
})

t.test('faults of Redis refuse writes or lose them, as they are called', async (t) => {
  const redis = await FleetRedis.start(t, ['one'])
  const write = (value: string) => on(redis.server, (client) => client.set('key', value))
  const play = (what: PlainRedisFault, meanwhile: () => Promise<unknown>) =>
    playOnRedis(redis, { on: 'redis', what }, meanwhile)
  await write('old')
  const refusals = { full: /^OOM/, 'read-only': /^READONLY/, 'too few replicas': /^NOREPLICAS/ } as const
  for (const [what, message] of Object.entries(refusals)) {
    await play(what as keyof typeof refusals, () => t.rejects(write('new'), { message }))
    t.equal(await write('old'), 'OK', `${what} is mended`)
  }
  await play('restart with an old snapshot', () => write('new'))
  t.equal(await readKey(redis, 'one'), 'old')
  for (const what of ['restart, empty', 'replaced by the data of an empty primary'] as const) {
    await write('old')
    await play(what, async () => {})
    t.equal(await readKey(redis, 'one'), '', what)
  }
  await play('outage longer than a window', async () => t.equal(await readKey(redis, 'one'), ''))
})

t.test('a grant is recognised on its way from Redis, a refusal and a heartbeat are not', async (t) => {
  const redis = await FleetRedis.start(t, ['one'])
  const proxy = redis.proxyOf('one')
  let grants = 0
  let replies = 0
  proxy.onReply = (reply, request) => {
    replies += 1
    if (isGrant(reply, request)) grants += 1
  }
  const config = loadConfig({ REDIS_URL: redis.urlFor('one'), QUOTA_RPM: '1', QUOTA_NEW_POOL: 'open' })
  const { pools, close } = await openBackends(config, createLogger({ level: 'silent' }))
  t.teardown(close)
  const [{ quota }] = pools
  const request = { requests: 1, tokens: 1, priority: 'interactive' } as const
  const connected = replies
  t.equal((await quota.reserve(request)).granted, true)
  t.equal(grants, 1)
  t.equal((await quota.reserve(request)).granted, false)
  t.equal(grants, 1)
  t.ok(connected > 0 && replies >= connected + 2, 'it saw other replies as well')
})
