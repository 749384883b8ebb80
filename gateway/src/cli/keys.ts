import { existsSync } from 'node:fs'
import { connectRedis } from '@knowalledge/redis-kit'
import { createLogger, EnvironmentError } from '@knowalledge/service-kit'
import { ApiKeys } from '../auth/api-keys.ts'
import { loadKeysConfig } from '../config.ts'
import { ArgumentsError, parseKeysCommand } from './keys-arguments.ts'
import { runKeysCommand } from './keys-command.ts'

/** A person waits for this one, longer than a request would. */
const commandTimeoutMs = 5_000

/** `npm run keys -- …`; in an image, `node keys.js …`. The key goes to stdout, what is told of it to stderr. */
async function main(): Promise<void> {
  if (existsSync('.env')) process.loadEnvFile() // as `start` of service-kit
  const command = parseKeysCommand(process.argv.slice(2))
  const log = createLogger({ level: 'silent', pretty: false })
  const redis = await connectRedis(loadKeysConfig(), { log, commandTimeoutMs })
  try {
    if (redis?.status !== 'ready')
      throw new ArgumentsError('Redis cannot be reached: REDIS_URL, or REDIS_HOST and REDIS_PORT, say where it is.')
    const { out, note } = await runKeysCommand(command, { keys: new ApiKeys({ redis }), clock: Date.now })
    if (note !== undefined) process.stderr.write(`${note}\n`)
    if (out !== undefined) process.stdout.write(`${out}\n`)
  } finally {
    redis?.disconnect()
  }
}

await main().catch((error: Error) => {
  const told = error instanceof ArgumentsError || error instanceof EnvironmentError
  process.stderr.write(`${told ? error.message : (error.stack ?? error)}\n`)
  process.exitCode = 1
})
