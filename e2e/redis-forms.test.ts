import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { emulatorForTest, freePort, processForTest, redisServerForTest, runCommand } from '@knowalledge/testing'
import t, { type Test } from 'tap'
import { scrape } from './exposition.ts'
import { eventually, post } from './fleet.ts'

/** A sentinel that watches one master, answering when this resolves. */
async function sentinelForTest(t: Test, masterPort: number): Promise<number> {
  const port = await freePort()
  const directory = await mkdtemp(join(tmpdir(), 'knowalledge-sentinel-'))
  const file = join(directory, 'sentinel.conf')
  await writeFile(
    file,
    `port ${port}\nbind 127.0.0.1\ndir ${directory}\nsentinel monitor the-master 127.0.0.1 ${masterPort} 1\n`,
  )
  const child = spawn('redis-server', [file, '--sentinel'], { stdio: 'ignore' })
  t.teardown(async () => {
    child.kill('SIGKILL')
    await once(child, 'exit')
    await rm(directory, { recursive: true, force: true })
  })
  return port
}

async function servesThrough(t: Test, env: Record<string, string>): Promise<void> {
  const emulator = await emulatorForTest(t)
  const gemini = { GEMINI_BASE_URL: emulator.baseUrl, GEMINI_API_KEY: 'k' }
  const shared = { ...gemini, QUOTA_NEW_POOL: 'open', DRAIN_MS: '0', LOG_LEVEL: 'warn', ...env }
  const start = () => processForTest(t, 'services/text-generation/src/server.ts', { env: shared })
  const [first, second] = await Promise.all([start(), start()])
  for (const { url } of [first, second]) {
    await eventually(
      async () => (await (await fetch(`${url}/ready`)).json()) as { status: string },
      ({ status }) => status === 'ready',
    )
  }
  t.match(await post(`${first.url}/api/create_subtopics`, { topic: 'Light' }), { status: 200, body: { cached: false } })
  const shownBySecond = await post(`${second.url}/api/create_subtopics`, { topic: 'Light' })
  t.equal(shownBySecond.headers.get('x-cache'), 'redis')
  await eventually(
    async () => (await scrape(second)).sum('quota_requests_current_minute'), // the quota is shared too
    (requests) => requests === 1,
  )
  await letsIn(t, { ...env, TEXT_GENERATION_URL: first.url })
}

async function letsIn(t: Test, env: Record<string, string>): Promise<void> {
  const made = await runCommand('gateway/src/cli/keys.ts', { args: ['create', '--tenant', 'school-a'], env })
  t.equal(made.code, 0, made.stderr)
  const gateway = await processForTest(t, 'gateway/src/server.ts', {
    env: {
      ...env,
      AUTH: 'required',
      SESSION_SECRET: 'x'.repeat(32),
      GATEWAY_SECRET: 'x'.repeat(32),
      DRAIN_MS: '0',
      LOG_LEVEL: 'warn',
    },
  })
  const session = `${gateway.url}/api/session`
  const login = await fetch(session, { method: 'POST', headers: { 'x-api-key': made.stdout.trim() } })
  t.equal(login.status, 201)
  const cookie = login.headers.get('set-cookie')?.split(';', 1)[0] ?? ''
  t.match(await (await fetch(session, { headers: { cookie } })).json(), { tenant: 'school-a' })
}

t.test('sentinels are asked where Redis is', async (t) => {
  const redis = await redisServerForTest(t)
  const port = await sentinelForTest(t, redis.port)
  await servesThrough(t, { REDIS_SENTINELS: `127.0.0.1:${port}`, REDIS_SENTINEL_NAME: 'the-master' })
})

t.test('a Redis Cluster holds quota and cache', async (t) => {
  const node = await redisServerForTest(t, ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1'])
  const admin = node.connect()
  await admin.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
  await eventually(
    async () => String(await admin.call('CLUSTER', 'INFO')),
    (info) => info.includes('cluster_state:ok'),
  )
  await servesThrough(t, { REDIS_CLUSTER_NODES: `127.0.0.1:${node.port}` })
})
