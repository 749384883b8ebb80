import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePort, type TestContext } from '@knowalledge/testing'
import { parse } from 'yaml'
import type { Image } from './images.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

/** As `read_only: true`: any attempt to write a file fails. */
const readOnly = 'NODE_OPTIONS=--permission --allow-fs-read=* --allow-addons --allow-worker --allow-child-process'

export interface ComposeService {
  image: string
  build?: { target: string }
  command?: string[]
  entrypoint?: string[]
  environment?: Record<string, string>
  profiles?: string[]
  ports?: (string | { host_ip?: string; published: string })[]
  volumes?: (string | { type: string; source: string })[]
  networks: Record<string, unknown>
  deploy?: { replicas?: number }
  read_only?: boolean
  cap_drop?: string[]
  security_opt?: string[]
  user?: string
  restart?: string
  mem_limit?: string | number
  stop_grace_period?: string
}

export interface Compose {
  services: Record<string, ComposeService>
  networks: Record<string, { internal?: boolean }>
}

/** What Docker Compose itself makes of docker-compose.yml. Throws with its complaint when it finds a fault. */
export function composeConfig({ profile, env = {} }: { profile?: string; env?: Record<string, string> }): Compose {
  const flags = profile ? ['--profile', profile] : []
  const result = spawnSync('docker-compose', ['-f', 'docker-compose.yml', ...flags, 'config'], {
    cwd: root,
    encoding: 'utf8',
    // Nothing of a developer's own settings; --env-file would be his .env.
    env: { PATH: process.env.PATH, COMPOSE_PROJECT_NAME: 'knowalledge', COMPOSE_DISABLE_ENV_FILE: '1', ...env },
  })
  if (result.error) throw result.error
  if (result.status !== 0) throw new Error(`docker-compose: ${result.stderr}`)
  return unescaped(parse(result.stdout)) as Compose
}

/** Its output can be fed to it again, so it writes $ as $$. */
function unescaped(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll('$$', '$')
  if (Array.isArray(value)) return value.map(unescaped)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, unescaped(member)]))
}

export interface Container {
  url: string
  /** Of the process; what the health check gets too. */
  env: Record<string, string | undefined>
  output(): string
  stop(): Promise<number | NodeJS.Signals | null>
}

/** Where each name and port lead, for each container of that name: `{ 'redis:6379': [6380] }`. */
export type Addresses = Map<string, number[]>

/** One container as a plain process: Compose's command and environment over the image's, with names led to loopback ports. */
export async function containerForTest(
  t: TestContext,
  { image, service, addresses, port }: { image: Image; service: ComposeService; addresses: Addresses; port: number },
): Promise<Container> {
  // This machine's DNS has no name for several ports: the list says the same.
  const lead = (text: string) =>
    [...addresses].reduce((led, [name, own]) => {
      const urls = own.map((ownPort) => `$1//127.0.0.1:${ownPort}`).join(',')
      return led.replaceAll(new RegExp(`(\\w+:)//${name}`, 'g'), urls)
    }, text)
  const given = Object.entries({ ...image.env, ...service.environment }).map(([name, value]) => [name, lead(value)])
  const env = {
    ...Object.fromEntries(given),
    PATH: process.env.PATH, // of this machine: the pinned Node
    HOST: '127.0.0.1',
    PORT: String(port),
    REDIS_HOST: '127.0.0.1', // CACHE_REDIS_URL was led there above
    REDIS_PORT: String(addresses.get('redis:6379')?.[0]),
  }
  // By `env`, as tap has every Node that is started directly load something of its own.
  const command = [readOnly, ...(service.command ?? image.command).map(lead)]
  const child = spawn('env', command, { cwd: image.directory, env, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text))
  const ended = once(child, 'exit').then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals | null)
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
  })
  const url = `http://127.0.0.1:${port}`
  while (child.exitCode === null && child.signalCode === null) {
    const isUp = await fetch(url + image.env.HEALTH_PATH).then(
      (reply) => reply.ok,
      () => false, // not listening yet
    )
    if (isUp) {
      const stop = () => {
        child.kill('SIGTERM')
        return ended
      }
      return { url, env, output: () => output, stop }
    }
    await sleep(50)
  }
  throw new Error(`${service.image} ended with ${await ended}:\n${output}`)
}

/** The exit code of the image's HEALTHCHECK for a container. */
export async function healthOf(image: Image, container: Container): Promise<number> {
  const check = spawn('env', [readOnly, ...image.healthCheck], { env: container.env, stdio: 'ignore' })
  const [code] = await once(check, 'exit')
  return code as number
}

/** The name of each service, with a free port for each of its replicas. */
export async function addressesOf({ services }: Compose, ports: Record<string, number>): Promise<Addresses> {
  const addresses: Addresses = new Map()
  for (const [name, port] of Object.entries(ports)) {
    const replicas = services[name]?.deploy?.replicas ?? 1
    const own = Array.from({ length: replicas }, () => freePort())
    addresses.set(`${name}:${port}`, await Promise.all(own))
  }
  return addresses
}
