import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { settings as gateway } from '@knowalledge/gateway/config'
import { settings as imageGeneration } from '@knowalledge/image-generation/config'
import { nginxForTest, redisServerForTest } from '@knowalledge/testing'
import { loadConfig as loadTextGeneration, settings as textGeneration } from '@knowalledge/text-generation/config'
import { settings as vision } from '@knowalledge/vision/config'
import { validate } from 'dockerfile-utils'
import t, { type Test } from 'tap'
import { addressesOf, composeConfig, containerForTest, healthOf } from './compose.ts'
import { post } from './fleet.ts'
import { imagesForTest } from './images.ts'

const settings = { gateway, 'text-generation': textGeneration, vision, 'image-generation': imageGeneration }
const own = { ...settings, emulator: undefined }
const ports = { gateway: 5000, 'text-generation': 5001, vision: 5002, 'image-generation': 5003, emulator: 5004 }
const upstreams = {
  'text-generation': 'TEXT_GENERATION_URL',
  vision: 'VISION_URL',
  'image-generation': 'IMAGE_GENERATION_URL',
}
/** The longest time from SIGTERM to the end of a process. */
const shutdownSeconds = 10

t.test('Docker Compose takes the file; only the emulator belongs to the demo', async (t) => {
  t.equal(Object.keys(composeConfig({}).services).length >= 8, true)
  const demo = Object.entries(composeConfig({ profile: 'demo' }).services).filter(([, { profiles }]) => profiles)
  t.same(
    demo.map(([name, { profiles }]) => [name, profiles]),
    [['emulator', ['demo']]],
  )
})

t.test('only nginx can be reached from other machines', async (t) => {
  const published = Object.entries(composeConfig({ profile: 'demo' }).services).flatMap(([name, { ports = [] }]) =>
    ports.map((port) => [name, typeof port === 'string' ? port : `${port.host_ip ?? ''}:${port.published}`] as const),
  )
  const open = published.filter(([, port]) => !port.startsWith('127.0.0.1:')).map(([name]) => name)
  t.same(open, ['nginx'])
  t.same(new Set(published.map(([name]) => name)), new Set(['nginx', 'prometheus', 'grafana']))
})

t.test('every container is locked down, limited, and given time to stop', async (t) => {
  for (const [name, service] of Object.entries(composeConfig({ profile: 'demo' }).services)) {
    t.equal(service.read_only, true, `${name} has a read-only root`)
    t.same(service.cap_drop, ['ALL'], `${name} has no capabilities`)
    t.same(service.security_opt, ['no-new-privileges:true'], `${name} gains no privileges`)
    t.ok(service.mem_limit, `${name} has a memory limit`)
    t.equal(service.restart, 'unless-stopped', `${name} comes back`)
    if (name in own)
      t.ok(Number.parseInt(service.stop_grace_period ?? '', 10) > shutdownSeconds, `${name} may finish what it does`)
  }
})

t.test('Redis and the services cannot be reached from the edge, and only the services reach Google', async (t) => {
  const { services, networks } = composeConfig({ profile: 'demo' })
  const on = (network: string) =>
    Object.keys(services)
      .filter((name) => network in (services[name]?.networks ?? {}))
      .sort()
  t.same(on('front'), ['gateway', 'nginx'])
  t.same(on('state'), ['gateway', 'image-generation', 'redis', 'redis-cache', 'text-generation', 'vision'])
  t.same(on('google'), ['image-generation', 'text-generation', 'vision'])
  t.equal(networks.state?.internal, true)
  t.equal(networks.services?.internal, true)
})

t.test('the gateway and nginx know others by a name that means all replicas', async (t) => {
  const { services } = composeConfig({})
  const { environment = {} } = services.gateway ?? {}
  for (const [name, variable] of Object.entries(upstreams))
    t.equal(environment[variable], `http://${name}:${ports[name as keyof typeof ports]}`)
  const { image = '', environment: edge = {} } = services.nginx ?? {}
  t.match(
    edge.GATEWAY_SERVERS,
    / server gateway:5000 resolve max_fails=0;$/,
    'one that refused while it started is not left out',
  )
  const [, minor] = /:1\.(\d+)-/.exec(image) ?? []
  t.ok(Number(minor) >= 28, '`resolve` is free since nginx 1.27.3')
})

t.test('every variable is a setting of its process, and no secret has a value of its own', async (t) => {
  const { services } = composeConfig({})
  for (const [name, { properties }] of Object.entries(settings))
    for (const variable of Object.keys(services[name]?.environment ?? {}))
      t.ok(variable in properties, `${name}: ${variable}`)
  for (const [name, { environment = {} }] of Object.entries(services))
    for (const [variable, value] of Object.entries(environment))
      if (/KEY|TOKEN|SECRET|REDIS.*PASSWORD|AUTH$/.test(variable)) t.equal(value, '', `${name}: ${variable}`)
  const given = composeConfig({ env: { GEMINI_API_KEY: 'of-the-environment', REDIS_PASSWORD: 'hidden' } }).services
  t.equal(given.vision?.environment?.GEMINI_API_KEY, 'of-the-environment')
  t.equal(given.gateway?.environment?.REDIS_PASSWORD, given.redis?.environment?.REDISCLI_AUTH)
  t.notOk('GEMINI_API_KEY' in (given.gateway?.environment ?? {}), 'the gateway never has the key')
})

t.test(
  'without a key the emulator is asked and an empty Redis used at once; with one, Google, after a window',
  async (t) => {
    const run = (env: Record<string, string>) => {
      const { command = [], environment } = composeConfig({ env }).services['text-generation'] ?? {}
      const [shell = '', ...rest] = command.map((part) => part.replace('exec node server.js', 'env'))
      return spawnSync(shell, rest, { env: { PATH: process.env.PATH, ...environment }, encoding: 'utf8' })
    }
    const started = (env: Record<string, string>) => {
      const { stdout } = run({ REDIS_PASSWORD: 'p', ...env })
      return loadTextGeneration(Object.fromEntries(stdout.split('\n').map((line) => line.split(/=(.*)/, 2))))
    }
    t.match(started({}), { GEMINI_BASE_URL: /emulator/, QUOTA_NEW_POOL: 'open' })
    t.match(started({ GEMINI_API_KEY: 'k' }), { GEMINI_BASE_URL: /googleapis/, QUOTA_NEW_POOL: 'hold' })
    t.match(started({ GEMINI_API_KEY: 'k', QUOTA_NEW_POOL: 'open' }), { QUOTA_NEW_POOL: 'open' })
    t.equal(run({}).status, 0, 'the demo needs no password')
    t.match(run({ GEMINI_API_KEY: 'k' }), { status: 1, stderr: /^REDIS_PASSWORD is required with a GEMINI_API_KEY/ })
  },
)

t.test('nobody knows the password of Grafana unless it is given', async (t) => {
  const started = (env: Record<string, string>) => {
    const { entrypoint = [], environment } = composeConfig({ env }).services.grafana ?? {}
    const [shell = '', ...rest] = entrypoint.map((part) => part.replace('exec /run.sh', 'env'))
    const { stdout } = spawnSync(shell, rest, { env: { PATH: process.env.PATH, ...environment }, encoding: 'utf8' })
    return /^GF_SECURITY_ADMIN_PASSWORD=(.*)$/m.exec(stdout)?.[1] ?? ''
  }
  t.match(started({}), /^[\w+/]{43}=$/)
  t.not(started({}), started({}))
  t.equal(started({ GRAFANA_ADMIN_PASSWORD: 'given' }), 'given')
})

t.test('nginx gets every name of its template, and what is mounted exists', async (t) => {
  const { services } = composeConfig({ profile: 'demo' })
  const environment = services.nginx?.environment ?? {}
  const wanted = new Set(
    [...readFileSync('nginx/nginx.conf', 'utf8').matchAll(/\$\{([A-Z_]+)\}/g)].map(([, name]) => name),
  )
  for (const name of wanted) {
    t.ok(environment[name ?? ''], String(name))
    t.match(name, new RegExp(environment.NGINX_ENVSUBST_FILTER ?? ''))
  }
  const sources = Object.values(services).flatMap(({ volumes = [] }) =>
    volumes.map((volume) => (typeof volume === 'string' ? (volume.split(':')[0] ?? '') : volume.source)),
  )
  const files = sources.filter((source) => source.startsWith('/'))
  t.ok(files.length >= 5)
  for (const file of files) t.ok(existsSync(file), file)
})

t.test('the Dockerfile has no fault that its language knows', async (t) => {
  t.same(validate(readFileSync('Dockerfile', 'utf8')), [])
})

t.test('the fleet of the demo answers, from the images and with the commands that Compose names', async (t) => {
  const compose = composeConfig({ profile: 'demo' })
  const addresses = await addressesOf(compose, ports)
  const imageOf = await imagesForTest(t)
  const redis = await redisServerForTest(t, compose.services.redis?.command?.slice(1))
  const cache = await redisServerForTest(t, compose.services['redis-cache']?.command?.slice(1))
  for (const [server, policy, appendonly] of [
    [redis, 'noeviction', 'yes'],
    [cache, 'allkeys-lfu', 'no'],
  ] as const) {
    const settings = await server.connect().config('GET', 'maxmemory-policy', 'appendonly')
    t.same((settings as string[]).toSorted(), ['appendonly', appendonly, 'maxmemory-policy', policy].toSorted())
  }
  addresses.set('redis:6379', [redis.port]).set('redis-cache:6379', [cache.port])

  const start = async (name: string) => {
    const [image, service] = [imageOf(name), compose.services[name]]
    if (!service) throw new Error(`no ${name}`)
    const own = addresses.get(`${name}:${ports[name as keyof typeof ports]}`) ?? []
    return await Promise.all(own.map((port) => containerForTest(t, { image, service, addresses, port })))
  }
  const running: Record<string, Awaited<ReturnType<typeof start>>> = {}
  for (const name of ['emulator', 'text-generation', 'vision', 'image-generation', 'gateway'])
    running[name] = await start(name)
  t.same(
    Object.entries(running).map(([name, { length }]) => [name, length]),
    [
      ['emulator', 1],
      ['text-generation', 3],
      ['vision', 3],
      ['image-generation', 3],
      ['gateway', 1],
    ],
  )
  for (const [name, [first]] of Object.entries(running))
    if (first) t.equal(await healthOf(imageOf(name), first), 0, `${name} is healthy by its own check`)

  const edge = await nginxForTest(t, { gateways: running.gateway?.map(({ url }) => url) ?? [] })
  await fourRoutes(t, edge.url)
  const ready = (await (await fetch(`${edge.url}/api/ready`)).json()) as {
    status: string
    checks: Record<string, object>
  }
  t.match(ready, { status: 'ready', checks: { redis: { status: 'healthy' }, vision: { healthy_instances: 3 } } })

  t.ok((await cache.connect().keys('cache:value:*')).length >= 4, 'answers are kept in the one')
  t.same(await redis.connect().keys('cache:*'), [], 'and not in the other')

  for (const [name, [first]] of Object.entries(running)) {
    t.equal(await first?.stop(), 0, `${name} stops on SIGTERM`)
    if (first) t.equal(await healthOf(imageOf(name), first), 1, `${name} is then unhealthy`)
  }
})

async function fourRoutes(t: Test, url: string): Promise<void> {
  const subtopics = await post(`${url}/api/create_subtopics`, { topic: 'Containers' })
  t.match(subtopics, { status: 200, body: { count: 15, from_fallback: false } })
  const presentation = await post(`${url}/api/create_presentation`, {
    topic: 'Containers',
    educationLevel: 'high school',
    levelOfDetail: 'normal',
    focus: ['Images', 'Volumes'],
  })
  t.match(presentation, { status: 200, body: { success_count: 2, failed_count: 0 } })
  const picture = await post(`${url}/api/generate_image`, { prompt: 'A whale that carries boxes' })
  t.match(picture, { status: 200, body: { format: /^base64_(png|jpeg)$/ } })
  const form = new FormData()
  form.set('image', new Blob([Buffer.from(String(picture.body.image), 'base64')]), 'whale')
  const topic = await fetch(`${url}/api/image2topic`, { method: 'POST', body: form })
  t.equal(topic.status, 200)
  t.match(await topic.json(), { generated_topic: /\w/ })
}
