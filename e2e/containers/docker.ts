import { execFile, spawnSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const root = fileURLToPath(new URL('../..', import.meta.url))
const project = 'knowalledge-test'

export type ServiceName =
  | 'nginx'
  | 'gateway'
  | 'text-generation'
  | 'vision'
  | 'image-generation'
  | 'redis'
  | 'redis-cache'
  | 'emulator'
  | 'prometheus'

/** What `docker inspect` says of a container. */
export interface Inspected {
  State: { ExitCode: number; Health?: { Status: string } }
  Mounts: { Destination: string }[]
  HostConfig: { ReadonlyRootfs: boolean; CapDrop: string[] | null; SecurityOpt: string[] | null; Memory: number }
  NetworkSettings: { Networks: Record<string, { Aliases: string[] | null }> }
}

const environment: NodeJS.ProcessEnv = { ...process.env, COMPOSE_PROJECT_NAME: project, COMPOSE_DISABLE_ENV_FILE: '1' }
delete environment.NODE_OPTIONS
let composeCommand: string[] = []

/** Docker with Compose 2 and the base images; engine.sh installs what is missing where it may. Throws when it may not. */
export function prepareEngine(): { isDebian: boolean } {
  const { status, stdout } = spawnSync('bash', ['e2e/containers/engine.sh'], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`e2e/containers/engine.sh ended with ${status}`)
  for (const line of stdout.trim().split('\n')) {
    const [name = '', value = ''] = line.split(/=(.*)/, 2)
    environment[name] = value
  }
  composeCommand = [...(environment.COMPOSE ?? '').split(' '), '-f', 'docker-compose.yml']
  composeCommand.push('-f', 'e2e/containers/override.yml', '--profile', 'demo')
  return { isDebian: environment.REDIS_IMAGE === 'debian-redis' }
}

/** Its output. Throws with what it wrote to stderr when it fails. */
async function run(command: string, args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(command, args, { cwd: root, env: environment, maxBuffer: 64 << 20 })
  return stdout.trim()
}

export async function docker(...args: string[]): Promise<string> {
  return await run('docker', args)
}

export async function compose(...args: string[]): Promise<string> {
  const [command = '', ...before] = composeCommand
  return await run(command, [...before, ...args])
}

export async function buildImages(apps: string[]): Promise<void> {
  const { NODE_IMAGE } = environment
  const options = NODE_IMAGE ? ['--network', 'host', '--build-arg', `NODE_IMAGE=${NODE_IMAGE}`] : []
  for (const app of apps) await docker('build', '-q', ...options, '--target', app, '-t', `knowalledge/${app}`, '.')
}

/** The containers of a service, in the order of their numbers. */
export async function containersOf(service: ServiceName): Promise<string[]> {
  const names = await docker(
    ...['ps', '-a', '--format', '{{.Names}}', '--filter', `label=com.docker.compose.project=${project}`],
    ...['--filter', `label=com.docker.compose.service=${service}`],
  )
  return names.split('\n').filter(Boolean).sort()
}

export async function containerOf(service: ServiceName): Promise<string> {
  const [name] = await containersOf(service)
  if (name === undefined) throw new Error(`${service} has no container`)
  return name
}

export async function inspect(container: string): Promise<Inspected> {
  const [inspected] = JSON.parse(await docker('inspect', container)) as Inspected[]
  if (inspected === undefined) throw new Error(`docker inspect says nothing of ${container}`)
  return inspected
}

/** Tries until `attempt` does not throw, and then gives what it returned; at last throws what the last attempt threw. */
export async function eventually<T>(attempt: () => Promise<T>, seconds = 30): Promise<T> {
  const endMs = Date.now() + seconds * 1000
  while (true) {
    try {
      return await attempt()
    } catch (error) {
      if (Date.now() > endMs) throw error
      await sleep(200)
    }
  }
}
