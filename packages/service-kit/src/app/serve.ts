import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import closeWithGrace from 'close-with-grace'
import type { FastifyInstance } from 'fastify'
import { EnvironmentError } from '../config/environment.ts'

/** Longest time from SIGTERM to exit in milliseconds; the contract says 10 s. */
const graceMs = 9_500

export interface ServeSettings {
  HOST: string
  PORT: number
  DRAIN_MS: number
}

/**
 * Listens. On SIGTERM it drains for DRAIN_MS, finishes what is in flight and exits; on SIGINT, a person's Ctrl-C, without
 * the draining. An uncaught error closes the same way, with code 1.
 */
export async function serve(app: FastifyInstance, { HOST, PORT, DRAIN_MS }: ServeSettings): Promise<string> {
  closeWithGrace({ delay: graceMs, logger: app.log }, async ({ err, signal }) => {
    if (err) app.log.fatal({ err }, 'closing after an uncaught error')
    else app.log.info({ signal }, 'closing: requests in flight are finished first')
    if (signal === 'SIGTERM') {
      app.lifecycle.draining = true
      await sleep(DRAIN_MS)
    }
    await app.close()
  })
  return await app.listen({ host: HOST, port: PORT })
}

/** Runs a process's main function, with the settings of a `.env` file in the working directory if there is one. What stops the start is said in one message, and the exit code is 1. */
export async function start(main: () => Promise<unknown>): Promise<void> {
  try {
    if (existsSync('.env')) process.loadEnvFile() // what is set already stays as it is
    await main()
  } catch (error) {
    const known = error instanceof EnvironmentError || (error as NodeJS.ErrnoException).code === 'EADDRINUSE'
    process.stderr.write(`${known ? (error as Error).message : ((error as Error).stack ?? error)}\n`)
    process.exit(1)
  }
}
