import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { TestContext } from '@knowalledge/testing'
import { DockerfileParser, type Instruction } from 'dockerfile-ast'

const root = fileURLToPath(new URL('..', import.meta.url))

/** What `docker build` would make, as a directory instead of an image. */
export interface Image {
  /** What is `/app` in the image. */
  directory: string
  env: Record<string, string>
  command: string[]
  healthCheck: string[]
}

/** The bundles of all apps, with what the Dockerfile says of how each is run. */
export async function imagesForTest(t: TestContext): Promise<(app: string) => Image> {
  const directory = await mkdtemp(join(tmpdir(), 'knowalledge-images-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  // By `env`, as tap has every Node that is started load something of its own.
  const bundle = ['-u', 'NODE_OPTIONS', 'node', 'scripts/bundle.ts', directory]
  await promisify(execFile)('env', bundle, { cwd: root })
  const stages = await stagesOfDockerfile()
  return (app) => {
    const instructions = [...(stages.get('runtime') ?? []), ...(stages.get(app) ?? [])]
    const last = (keyword: string) => instructions.findLast((instruction) => instruction.getKeyword() === keyword)
    return {
      directory: join(directory, app),
      env: Object.assign({}, ...instructions.map(environmentOf)) as Record<string, string>,
      command: wordsOf(last('CMD')),
      healthCheck: wordsOf(last('HEALTHCHECK')),
    }
  }
}

async function stagesOfDockerfile(): Promise<Map<string | null, Instruction[]>> {
  const dockerfile = DockerfileParser.parse(await readFile(join(root, 'Dockerfile'), 'utf8'))
  const names = new Map(dockerfile.getFROMs().map((from) => [from.getRange().start.line, from.getBuildStage()]))
  const stages = new Map<string | null, Instruction[]>()
  for (const instruction of dockerfile.getInstructions()) {
    const name = names.get(instruction.getRange().start.line)
    if (name !== undefined) stages.set(name, [])
    else [...stages.values()].at(-1)?.push(instruction)
  }
  return stages
}

function environmentOf(instruction: Instruction): Record<string, string> {
  if (instruction.getKeyword() !== 'ENV') return {}
  return Object.fromEntries(instruction.getArguments().map((argument) => argument.getValue().split('=', 2)))
}

/** The words of an exec form, after the flags. */
function wordsOf(instruction: Instruction | undefined): string[] {
  const text = instruction?.getRawArgumentsContent()
  if (!text) throw new Error('The Dockerfile lacks CMD or HEALTHCHECK')
  return JSON.parse(text.slice(text.indexOf('['))) as string[]
}
