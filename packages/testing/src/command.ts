import { execFile } from 'node:child_process'
import { inherited, root } from './process.ts'

export interface EndedCommand {
  code: number
  stdout: string
  stderr: string
}

/** Runs `node <file> …args` to its end; `file` is relative to the repository. */
export function runCommand(
  file: string,
  { args = [], env = {} }: { args?: string[]; env?: Record<string, string> },
): Promise<EndedCommand> {
  const options = { cwd: root, env: { ...inherited, ...env } }
  return new Promise((resolve) => {
    execFile(process.execPath, [file, ...args], options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr })
    })
  })
}

/** `npm run keys` over the Redis of that URL: what it printed. Throws what it complained of. */
export async function runKeys(redisUrl: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runCommand('gateway/src/cli/keys.ts', { args, env: { REDIS_URL: redisUrl } })
  if (code !== 0) throw new Error(stderr)
  return stdout.trim()
}
