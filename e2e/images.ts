import { execFile } from 'node:child_process'
import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { TestContext } from '@knowalledge/testing'
import { DockerfileParser, type Instruction } from 'dockerfile-ast'

const root = fileURLToPath(new URL('..', import.meta.url))
const run = promisify(execFile)
/** Its types name a default export, which the CommonJS module does not have. */
const dockerignore = createRequire(import.meta.url)('@balena/dockerignore') as () => {
  add(patterns: string): { ignores(path: string): boolean }
}

/** What `docker build` would make, as a directory instead of an image. */
export interface Image {
  /** What is `/app` in the image. */
  directory: string
  /** Of all stages that lead to it. */
  env: Record<string, string>
  command: string[]
  healthCheck: string[]
}

/** The Dockerfile's own steps for one APP, carried out by this machine's shell and Node in a directory of the test's. */
export async function imageForTest(t: TestContext, app: string): Promise<Image> {
  const base = await mkdtemp(join(tmpdir(), `knowalledge-image-${app}-`))
  t.teardown(() => rm(base, { recursive: true, force: true }))
  const [workspace, directory] = [join(base, 'workspace'), join(base, 'image')]
  const stages = await stagesOf(app)
  const env = Object.assign({}, ...stages.app.map(environmentOf)) as Record<string, string>

  await copyContext(workspace)
  // By `env`, as tap has every Node that is started load something of its own.
  for (const step of stages.install.filter((instruction) => instruction.getKeyword() === 'RUN'))
    await run('env', ['-u', 'NODE_OPTIONS', 'sh', '-ec', inDirectories(shellOf(step), { workspace, directory })], {
      cwd: workspace,
      env: { ...process.env, ...env }, // with what this machine says of its registry
      timeout: 60_000,
    })
  const final = (keyword: string) => stages.final.findLast((instruction) => instruction.getKeyword() === keyword)
  return {
    directory,
    env: Object.assign(env, ...stages.final.map(environmentOf)),
    command: wordsOf(final('CMD')),
    healthCheck: wordsOf(final('HEALTHCHECK')),
  }
}

/** The three stages that lead to an image: what is the app's own, what installs it, what is delivered. */
async function stagesOf(app: string): Promise<{ app: Instruction[]; install: Instruction[]; final: Instruction[] }> {
  const stages: { name: string | null; from: string | null; instructions: Instruction[] }[] = []
  const dockerfile = DockerfileParser.parse(await readFile(join(root, 'Dockerfile'), 'utf8'))
  const froms = new Map(dockerfile.getFROMs().map((from) => [from.getRange().start.line, from]))
  for (const instruction of dockerfile.getInstructions()) {
    const from = froms.get(instruction.getRange().start.line)
    if (from) stages.push({ name: from.getBuildStage(), from: from.getImage(), instructions: [] })
    else stages.at(-1)?.instructions.push(instruction)
  }
  const stage = (name: string | null) => stages.find((it) => it.name === name)
  const [own, install, final] = [stage(app), stage('install'), stage(null)]
  // biome-ignore lint/suspicious/noTemplateCurlyInString: as the Dockerfile writes it
  if (!own || install?.from !== '${APP}' || final?.from !== '${APP}')
    throw new Error(`The Dockerfile has no stages for ${app} as this test knows them`)
  return { app: own.instructions, install: install.instructions, final: final.instructions }
}

function environmentOf(instruction: Instruction): Record<string, string> {
  if (instruction.getKeyword() !== 'ENV') return {}
  return Object.fromEntries(instruction.getArguments().map((argument) => argument.getValue().split('=', 2)))
}

/** The command of a RUN in one line, without Docker's own flags. */
function shellOf(step: Instruction): string {
  const text = (step.getRawArgumentsContent() ?? '').replaceAll(/\\\n/g, ' ')
  return text.replace(/^(\s*--mount=\S+)+/, '')
}

/** The build's absolute paths lead into the test's directories. */
function inDirectories(command: string, { workspace, directory }: { workspace: string; directory: string }): string {
  return command.replaceAll(/\/workspace\b/g, workspace).replaceAll(/(?<!\w)\/image\b/g, directory)
}

/** The words of an exec form, after the flags. */
function wordsOf(instruction: Instruction | undefined): string[] {
  const text = instruction?.getRawArgumentsContent()
  if (!text) throw new Error('The Dockerfile lacks CMD or HEALTHCHECK')
  return JSON.parse(text.slice(text.indexOf('['))) as string[]
}

/** What .dockerignore lets into the build. */
async function copyContext(to: string): Promise<void> {
  const ignore = dockerignore().add(await readFile(join(root, '.dockerignore'), 'utf8'))
  const wanted = (path: string) => !ignore.ignores(relative(root, path))
  for (const name of await readdir(root)) {
    const from = join(root, name)
    if (wanted(from)) await cp(from, join(to, name), { recursive: true, filter: wanted, verbatimSymlinks: true })
  }
}
