import { settings as gateway, loadConfig as loadGateway } from '@knowalledge/gateway/config'
import { settings as imageGeneration, loadConfig as loadImageGeneration } from '@knowalledge/image-generation/config'
import { loadConfig as loadTextGeneration, settings as textGeneration } from '@knowalledge/text-generation/config'
import { loadConfig as loadVision, settings as vision } from '@knowalledge/vision/config'
import t from 'tap'
import {
  type ConfigMap,
  type HttpRoute,
  type Ingress,
  type KubernetesObject,
  type NetworkPolicy,
  render,
  type Service,
  unknownFields,
  validate,
  type Workload,
} from './kubernetes.ts'

const settings = { gateway, 'text-generation': textGeneration, vision, 'image-generation': imageGeneration }
const load = {
  gateway: loadGateway,
  'text-generation': loadTextGeneration,
  vision: loadVision,
  'image-generation': loadImageGeneration,
}
const ports = { gateway: 5000, 'text-generation': 5001, vision: 5002, 'image-generation': 5003 }
const ours = Object.keys(settings)
/** The longest time from SIGTERM to the end of a process. */
const shutdownSeconds = 10

const overlays = { dev: render('dev'), prod: render('prod'), 'prod-gateway-api': render('prod-gateway-api') }

for (const [overlay, objects] of Object.entries(overlays)) {
  const of = <T extends KubernetesObject>(...kinds: string[]) =>
    objects.filter(({ kind }) => kinds.includes(kind)) as T[]
  const workloads = of<Workload>('Deployment', 'StatefulSet')
  const apps = workloads.filter(({ metadata }) => ours.includes(metadata.name))
  const named = (kind: string) =>
    of(kind)
      .map(({ metadata }) => metadata.name)
      .sort()

  t.test(`${overlay}: every object is what Kubernetes' schemas say, with no field they do not know`, async (t) => {
    for (const object of objects) await t.resolves(validate(object), `${object.kind} ${object.metadata.name}`)
    t.equal(await unknownFields(t, objects), '')
  })

  t.test(
    `${overlay}: each deployable has a Deployment, Service, autoscaler and disruption budget that find it`,
    async (t) => {
      for (const kind of ['HorizontalPodAutoscaler', 'PodDisruptionBudget']) t.same(named(kind), [...ours].sort(), kind)
      t.same(apps.map(({ metadata }) => metadata.name).sort(), [...ours].sort())
      for (const { metadata, spec } of workloads)
        t.ok(selects(spec.selector, spec.template.metadata?.labels), `${metadata.name} selects its own pods`)
      for (const { metadata, spec } of of<Service>('Service')) {
        const behind = workloads.filter(({ spec: { template } }) =>
          selects({ matchLabels: spec?.selector ?? {} }, template.metadata?.labels),
        )
        t.same(
          behind.map(({ metadata }) => metadata.name),
          [metadata.name],
          `${metadata.name} leads to its pods alone`,
        )
        const open = behind.flatMap(portsOf)
        for (const { targetPort, port } of spec?.ports ?? [])
          t.match(
            open.find(({ name }) => name === targetPort),
            { containerPort: port },
            `${metadata.name}:${port}`,
          )
      }
      for (const object of of<KubernetesObject & { spec: { scaleTargetRef: { kind: string; name: string } } }>(
        'HorizontalPodAutoscaler',
      ))
        t.match(object.spec.scaleTargetRef, { kind: 'Deployment', name: object.metadata.name })
      for (const object of of<Workload>('PodDisruptionBudget'))
        t.equal(workloads.filter(({ spec }) => selects(object.spec.selector, spec.template.metadata?.labels)).length, 1)
    },
  )

  t.test(`${overlay}: every variable is a setting that its process knows and takes`, async (t) => {
    const configMaps = new Map(of<ConfigMap>('ConfigMap').map(({ metadata, data }) => [metadata.name, data ?? {}]))
    for (const { metadata, spec } of apps) {
      const { properties } = settings[metadata.name as keyof typeof settings]
      const [container] = spec.template.spec?.containers ?? []
      const shared = container?.envFrom?.map(({ configMapRef }) => configMaps.get(configMapRef?.name ?? ''))
      t.notOk(shared?.includes(undefined), `${metadata.name} reads ConfigMaps that exist`)
      const own = container?.env?.map(({ name, value }) => [name, value ?? 'of-a-secret-of-the-cluster-with-32'])
      const env = Object.assign({}, ...(shared ?? []), Object.fromEntries(own ?? [])) as Record<string, string>
      for (const name of ['REDIS_HOST', 'CACHE_REDIS_URL'])
        t.ok(name in env, `${metadata.name} knows where both Redis servers are`)
      for (const name of Object.keys(env)) t.ok(name in properties, `${metadata.name}: ${name}`)
      const config = load[metadata.name as keyof typeof load](env)
      t.match(config, { REDIS_HOST: env.REDIS_HOST, PORT: ports[metadata.name as keyof typeof ports] })
      t.equal(config.AUTH, overlay === 'dev' ? 'off' : 'required')
      t.equal(env.AUTH, config.AUTH, 'said, not left to a default')
      t.equal(config.QUOTA_NEW_POOL, overlay === 'dev' ? 'open' : 'hold', 'Google may remember what Redis does not')
    }
  })

  t.test(`${overlay}: no secret has a value here, and only the services get the key`, async (t) => {
    t.same(named('Secret'), [])
    for (const { metadata, spec } of apps) {
      const env = spec.template.spec?.containers.flatMap(({ env = [] }) => env) ?? []
      for (const { name, value } of env)
        if (/KEY|TOKEN|PASSWORD|SECRET/.test(name)) t.equal(value, undefined, `${metadata.name}: ${name}`)
      const key = env.find(({ name }) => name === 'GEMINI_API_KEY')?.valueFrom?.secretKeyRef
      t.match(key, metadata.name === 'gateway' ? undefined : { name: 'gemini', key: 'api-key' }, metadata.name)
      const password = env.find(({ name }) => name === 'REDIS_PASSWORD')?.valueFrom?.secretKeyRef
      t.match(password, { name: 'redis', key: 'password' }, metadata.name)
      if (overlay === 'dev') continue
      t.not(key?.optional, true, `without a key ${metadata.name} does not start`)
      t.not(password?.optional, true, `nor without a password for Redis`)
    }
  })

  t.test(`${overlay}: every pod is restricted, limited, probed, and given time to stop`, async (t) => {
    for (const { metadata, spec } of workloads) {
      const pod = spec.template.spec
      t.match(pod?.securityContext, { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } }, metadata.name)
      t.equal(pod?.automountServiceAccountToken, false, metadata.name)
      for (const container of pod?.containers ?? []) {
        t.match(container.securityContext, {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        })
        t.match(container.resources, { requests: { cpu: /\d/, memory: /\d/ }, limits: { memory: /\d/ } })
        t.ok(container.livenessProbe && container.readinessProbe, metadata.name)
      }
    }
    for (const { metadata, spec } of apps) {
      const [container] = spec.template.spec?.containers ?? []
      t.match(container?.livenessProbe?.httpGet, { path: '/health', port: 'http' })
      t.match(container?.readinessProbe?.httpGet, { path: '/ready', port: 'http' })
      t.match(portsOf({ spec }), [
        { name: 'http', containerPort: ports[metadata.name as keyof typeof ports] },
        { name: 'metrics', containerPort: 9464 },
      ])
      const preStop = Number(container?.lifecycle?.preStop?.sleep?.seconds)
      t.ok(preStop > 0)
      t.ok((spec.template.spec?.terminationGracePeriodSeconds ?? 0) > preStop + shutdownSeconds, metadata.name)
      t.equal(spec.template.spec?.topologySpreadConstraints?.length, 2)
    }
  })

  t.test(`${overlay}: traffic goes only where it is meant to go`, async (t) => {
    const policies = of<NetworkPolicy>('NetworkPolicy')
    const pods = new Map(workloads.map(({ metadata, spec }) => [metadata.name, spec.template.metadata?.labels ?? {}]))
    const services = ['image-generation', 'text-generation', 'vision']
    const users = ['gateway', ...services]
    const expected: Record<string, string[]> = {
      gateway: [],
      ...Object.fromEntries(services.map((name) => [name, ['gateway']])),
      ...(overlay === 'dev' && { redis: users, 'redis-cache': users, emulator: services }),
    }
    for (const to of pods.keys()) {
      const from = [...pods.keys()].filter((name) => mayTalk(policies, { from: pods.get(name), to: pods.get(to) }))
      t.same(from.sort(), [...(expected[to] ?? [])].sort(), `who reaches ${to}`)
    }
    const outside = (port: number) =>
      [...pods]
        .filter(([, labels]) => egress(policies, labels).some((rule) => leadsOutside(rule, port)))
        .map(([name]) => name)
    t.same(outside(443).sort(), services, 'who reaches Google')
    t.same(outside(6379).sort(), overlay === 'dev' ? [] : users, 'who reaches a Redis outside')
    for (const { metadata, spec } of policies)
      t.ok(
        [...pods.values()].some((labels) => selects(spec?.podSelector, labels)),
        `${metadata.name} is about someone`,
      )
  })

  t.test(`${overlay}: Prometheus reaches the metrics and nothing else`, async (t) => {
    const settings = of<ConfigMap>('ConfigMap').find(({ metadata }) => metadata.name.startsWith('settings-'))
    t.equal(settings?.data?.METRICS_PORT, '9464')
    const fromMonitoring = of<NetworkPolicy>('NetworkPolicy').flatMap(({ spec }) =>
      (spec?.ingress ?? []).filter(({ from }) => JSON.stringify(from).includes('"monitoring"')),
    )
    t.same(
      fromMonitoring.map(({ ports }) => ports),
      [[{ port: 'metrics' }]],
    )
    const [monitor] = of<KubernetesObject & { spec: { endpoints: { port: string }[] } }>('ServiceMonitor')
    t.same(
      monitor?.spec.endpoints.map(({ port }) => port),
      ['metrics'],
    )
  })

  t.test(`${overlay}: the name of a service means all of its pods, and that of the gateway one of them`, async (t) => {
    const headless = of<Service>('Service').filter(({ spec }) => spec?.clusterIP === 'None')
    const names = headless.map(({ metadata }) => metadata.name).filter((name) => ours.includes(name))
    t.same(names.sort(), ['image-generation', 'text-generation', 'vision'])
  })

  t.test(`${overlay}: the public sees the API and its docs, not the figures and levers`, async (t) => {
    const [ingress] = of<Ingress>('Ingress')
    const [route] = of<HttpRoute>('HTTPRoute')
    t.equal([ingress, route].filter(Boolean).length, 1, 'one way in')
    const paths = ingress
      ? (ingress.spec?.rules?.[0]?.http?.paths ?? []).map(({ path = '', pathType }) => [path, pathType] as const)
      : (route?.spec?.rules ?? []).flatMap(({ matches = [] }) =>
          matches.map(({ path }) => [path?.value ?? '', path?.type === 'PathPrefix' ? 'Prefix' : 'Exact'] as const),
        )
    const isOpen = (url: string) =>
      paths.some(([path, type]) => url === path || (type === 'Prefix' && url.startsWith(`${path}/`)))
    for (const url of [
      'create_subtopics',
      'create_presentation',
      'image2topic',
      'generate_image',
      'subtopics',
      'explanation',
      'session',
      'csrf-token',
    ])
      t.ok(isOpen(`/api/${url}`), url)
    for (const url of [
      '/api/images/abc',
      '/api/quota/stats',
      '/api/health',
      '/api/ready',
      '/',
      '/assets/app/main.ts',
      '/docs',
      '/docs/static/index.html',
      '/openapi.json',
    ])
      t.ok(isOpen(url), url)
    for (const url of ['/metrics', '/health', '/ready', '/api/admin/cache', '/ops', '/ops/events'])
      t.notOk(isOpen(url), url)
    for (const { backend } of ingress?.spec?.rules?.[0]?.http?.paths ?? [])
      t.match(backend.service, { name: 'gateway', port: { name: 'http' } })
    for (const { backendRefs, timeouts } of route?.spec?.rules ?? []) {
      t.match(backendRefs, [{ name: 'gateway', port: ports.gateway }])
      t.ok(timeouts === undefined || timeouts.request === '0s', 'the gateway is the one who gives up')
    }
    if (!ingress) return
    t.equal(Boolean(ingress.spec?.tls), overlay === 'prod')
    const annotation = (name: string) => ingress.metadata.annotations?.[`nginx.org/${name}`]
    const readTimeoutMs = Number.parseInt(annotation('proxy-read-timeout') ?? '', 10) * 1000
    t.ok(readTimeoutMs > loadGateway({}).UPSTREAM_TIMEOUT_MS, 'the gateway is the one who gives up')
    t.equal(annotation('proxy-buffering'), 'False', 'event streams leave as they come')
  })
}

t.test('in prod every image is named by its digest', async (t) => {
  const images = (overlays.prod as Workload[]).flatMap(
    ({ spec }) => spec?.template?.spec?.containers?.map(({ image }) => image) ?? [],
  )
  t.equal(images.length, 4)
  for (const image of images) t.match(image, /^[^@:]+@sha256:[0-9a-f]{64}$/)
})

t.test('a field that Kubernetes does not know is found, and so is a wrong type', async (t) => {
  const found = structuredClone(overlays.prod.find(({ kind }) => kind === 'Deployment')) as unknown as {
    spec: { replicas?: unknown; template: { spec: { containers: Record<string, unknown>[] } } }
  } & KubernetesObject
  Object.assign(found.spec.template.spec.containers[0] ?? {}, { readynessProbe: {} })
  t.match(await unknownFields(t, [found]), /readynessProbe/)
  found.spec.replicas = 'three'
  await t.rejects(validate(found), /replicas/)
})

t.test(
  'in dev one Redis has a disk and one evicts, in prod both are outside; the emulator is in dev alone',
  async (t) => {
    const names = (objects: KubernetesObject[]) => objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`)
    const [dev, prod] = [names(overlays.dev), names(overlays.prod)]
    t.ok(dev.includes('StatefulSet redis') && dev.includes('Deployment emulator'))
    const policies = (overlays.dev as Workload[]).flatMap(({ metadata, spec }) => {
      const args = spec?.template?.spec?.containers?.flatMap(({ args = [] }) => args) ?? []
      const policy = args[args.indexOf('--maxmemory-policy') + 1]
      return args.includes('redis-server') ? [[metadata.name, policy, args[args.indexOf('--appendonly') + 1]]] : []
    })
    t.same(policies.sort(), [
      ['redis', 'noeviction', 'yes'],
      ['redis-cache', 'allkeys-lfu', 'no'],
    ])
    t.same(
      prod.filter((name) => /redis|emulator/.test(name)),
      ['NetworkPolicy to-redis'],
    )
    const prodConfig = overlays.prod.filter(({ kind }) => kind === 'ConfigMap') as ConfigMap[]
    t.notOk(
      prodConfig.some(({ data }) => data && 'GEMINI_BASE_URL' in data),
      'prod asks Google',
    )
  },
)

interface Selector {
  matchLabels?: Record<string, string>
  matchExpressions?: { key: string; operator: string; values?: string[] }[]
}

type Labels = Record<string, string> | undefined

function selects({ matchLabels = {}, matchExpressions = [] }: Selector = {}, labels: Labels = {}): boolean {
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      if (operator !== 'In') throw new Error(`this test does not know the operator ${operator}`)
      return values.includes(labels[key] ?? '')
    })
  )
}

function portsOf({ spec }: Pick<Workload, 'spec'>) {
  return spec.template.spec?.containers.flatMap(({ ports = [] }) => ports) ?? []
}

type Rule = NonNullable<NonNullable<NetworkPolicy['spec']>['egress']>[number]

function egress(policies: NetworkPolicy[], labels: Labels): Rule[] {
  return policies.flatMap(({ spec }) => (selects(spec?.podSelector, labels) ? (spec?.egress ?? []) : []))
}

/** Both ends must allow it: a pod is closed as soon as any policy is about it, and `nothing-but` is about all. */
function mayTalk(policies: NetworkPolicy[], { from, to }: { from: Labels; to: Labels }): boolean {
  const names = (peers: Rule['to'], labels: Labels) =>
    peers?.some(
      ({ podSelector, namespaceSelector }) => podSelector && !namespaceSelector && selects(podSelector, labels),
    )
  const isLetOut = egress(policies, from).some((rule) => names(rule.to, to))
  const isLetIn = policies.some(
    ({ spec }) => selects(spec?.podSelector, to) && spec?.ingress?.some((rule) => names(rule.from, from)),
  )
  return isLetOut && isLetIn
}

function leadsOutside({ to = [], ports = [] }: Rule, port: number): boolean {
  return to.some(({ ipBlock }) => ipBlock) && ports.some((allowed) => allowed.port === port)
}
