import assert from 'node:assert/strict'
import { ask, assertAnswered, post } from './client.ts'
import { containerOf, containersOf, docker, eventually, inspect, type ServiceName } from './docker.ts'
import type { Report } from './report.ts'

export async function checkContract(report: Report): Promise<void> {
  await report.check('contract', 'the four learning routes', async () => {
    const subtopics = await post('/api/create_subtopics', { topic: 'Containers' })
    assertAnswered(subtopics)
    assert.equal(subtopics.body.count, 15)
    const presentation = await post('/api/create_presentation', {
      topic: 'Containers',
      educationLevel: 'high school',
      levelOfDetail: 'normal',
      focus: ['Images', 'Volumes'],
    })
    assertAnswered(presentation)
    assert.equal(presentation.body.success_count, 2)
    const image = await post('/api/generate_image', { prompt: 'A whale that carries boxes' })
    assertAnswered(image)
    const form = new FormData()
    form.set('image', new Blob([Buffer.from(String(image.body.image), 'base64')]), 'whale')
    const topic = await ask('/api/image2topic', { method: 'POST', body: form })
    assertAnswered(topic)
    assert.match(String(topic.body.generated_topic), /\w/)
    assertAnswered(await ask(String(image.body.url)))
  })
  await report.check('contract', 'event streams', async () => {
    const headers = { 'content-type': 'application/json', accept: 'text/event-stream' }
    const body = JSON.stringify({ topic: 'Streams' })
    const answer = await ask('/api/create_subtopics', { method: 'POST', headers, body })
    assertAnswered(answer)
    assert.match(String(answer.body.text), /^event: result\n.*^event: done\n/ms)
  })
  await report.check('contract', 'errors, statistics, health, documentation, the page', async () => {
    const wrong = await post('/api/create_subtopics', { topic: '' })
    assert.equal(wrong.status, 400)
    assert.equal(wrong.body.error, 'invalid_input')
    for (const path of ['/api/quota/stats', '/api/health', '/api/ready', '/openapi.json', '/docs/', '/'])
      assertAnswered(await ask(path))
    for (const path of ['/metrics', '/ready', '/api/admin/cache']) assert.equal((await ask(path)).status, 404, path)
  })
  await report.check('contract', 'X-Edge-Cache: MISS, then HIT; BYPASS for a POST', async () => {
    const seen = []
    for (const _ of [1, 2]) seen.push((await ask('/api/subtopics?topic=Edges')).headers.get('x-edge-cache'))
    seen.push((await post('/api/create_subtopics', { topic: 'Edges' })).headers.get('x-edge-cache'))
    assert.deepEqual(seen, ['MISS', 'HIT', 'BYPASS'])
  })
}

export async function checkHardening(report: Report, services: ServiceName[]): Promise<void> {
  for (const service of services)
    await report.check('locked down', service, async () => {
      const container = await containerOf(service)
      const { HostConfig, Mounts } = await inspect(container)
      assert.equal(HostConfig.ReadonlyRootfs, true)
      assert.deepEqual(HostConfig.CapDrop, ['ALL'])
      assert.deepEqual(HostConfig.SecurityOpt, ['no-new-privileges:true'])
      const look = 'id -u; sed -n "s/^CapEff:\\s*//p" /proc/1/status; touch /there 2>&1; ls -A /tmp | wc -l'
      const [user, capabilities, touched, temporary] = (await docker('exec', container, 'sh', '-c', look)).split('\n')
      assert.notEqual(user, '0', 'not root')
      assert.equal(Number.parseInt(capabilities ?? '', 16), 0, 'no capabilities')
      assert.match(touched ?? '', /[Rr]ead-only/)
      if (service !== 'nginx') assert.equal(temporary, '0', 'nothing is written to /tmp')
      const changed = (await docker('diff', container))
        .split('\n')
        .filter(Boolean)
        .map((line) => line.slice(2))
      const isMount = (path: string) => Mounts.some(({ Destination }) => Destination.startsWith(path))
      assert.deepEqual(
        changed.filter((path) => !isMount(path)),
        [],
        'nothing is written elsewhere',
      )
      return `user ${user}`
    })
  await report.check('locked down', 'no package manager, no TypeScript in our images', async () => {
    const look = 'command -v npm npx pnpm yarn corepack apt apt-get dpkg; find /app -name "*.ts" ! -name "*.d.ts"; true'
    for (const app of ['gateway', 'text-generation', 'vision', 'image-generation', 'emulator'] as const)
      assert.equal(await docker('exec', await containerOf(app), 'sh', '-c', look), '', app)
  })
}

/** A container that reaches its limit is killed; a fifth of it must be left after the load of all checks before. */
export async function checkMemory(report: Report, services: ServiceName[]): Promise<void> {
  const lines = (await docker('stats', '--no-stream', '--format', '{{.Name}} {{.MemPerc}}')).split('\n')
  const percents = new Map(lines.map((line) => line.split(' ') as [string, string]))
  for (const service of services)
    await report.check('memory', service, async () => {
      const used = (await containersOf(service)).map((name) => Number.parseFloat(percents.get(name) ?? ''))
      const most = Math.max(...used)
      assert.ok(most > 0 && most < 80, `${most} % of the limit`)
      return `at most ${most.toFixed(0)} % of the limit`
    })
}

export async function checkPrometheus(report: Report, replicas: Partial<Record<ServiceName, number>>): Promise<void> {
  await report.check('prometheus', 'finds every replica, and all are up', async () =>
    eventually(async () => {
      const { activeTargets } = await prometheus<{ activeTargets: Target[] }>('targets')
      for (const [job, count] of Object.entries(replicas)) {
        const targets = activeTargets.filter(({ labels }) => labels.job === job)
        assert.equal(targets.length, count, job)
        assert.ok(
          targets.every(({ health }) => health === 'up'),
          `${job}: ${targets.map(({ lastError }) => lastError)}`,
        )
      }
      return `${activeTargets.length} targets`
    }, 45),
  )
  await report.check('prometheus', 'every rule can be evaluated', async () =>
    eventually(async () => {
      const { groups } = await prometheus<{ groups: { rules: { name: string; health: string }[] }[] }>('rules')
      const rules = groups.flatMap((group) => group.rules)
      assert.deepEqual(
        rules.filter(({ health }) => health !== 'ok').map(({ name }) => name),
        [],
      )
      assert.ok(rules.length > 0)
      return `${rules.length} rules`
    }, 45),
  )
  await report.check('prometheus', 'an alert names the instance that is down', async () => {
    const container = await containerOf('vision')
    await docker('pause', container) // one that has stopped leaves Docker's DNS, and so the targets
    try {
      await eventually(async () => {
        const { alerts } = await prometheus<{ alerts: { labels: Record<string, string> }[] }>('alerts')
        assert.ok(alerts.some(({ labels }) => labels.alertname === 'InstanceDown' && labels.job === 'vision'))
      }, 60)
    } finally {
      await docker('unpause', container)
    }
  })
}

interface Target {
  labels: Record<string, string>
  health: string
  lastError: string
}

async function prometheus<T>(path: string): Promise<T> {
  const reply = await fetch(`http://127.0.0.1:9090/api/v1/${path}`)
  return ((await reply.json()) as { data: T }).data
}
