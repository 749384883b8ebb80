import { freePortsInARow, processForTest } from '@knowalledge/testing'

/** Ends with the script what was started for it. */
export function scriptContext() {
  const undo: (() => unknown)[] = []
  return {
    teardown: (work: () => unknown) => void undo.unshift(work),
    async end(): Promise<void> {
      for (const work of undo) await work()
    },
  }
}

/** The whole system as `npm start` runs it, with the emulator. */
export async function startPages(context: { teardown(work: () => unknown): void }) {
  const port = await freePortsInARow(5)
  const env = { MAX_EVENT_LOOP_DELAY_MS: '0', EMULATOR_LATENCY_MS: '400' }
  const { url } = await processForTest(context, 'scripts/start.ts', { port, env })
  return { url, emulatorUrl: `http://127.0.0.1:${port + 4}` }
}
