import { buildEmulator, type EmulatorHandle, type EmulatorOptions } from '@knowalledge/gemini-emulator'
import type { TestContext } from './test-context.ts'

export interface TestEmulator extends EmulatorHandle {
  /** For `createGemini({ baseUrl })` or `GEMINI_BASE_URL`. */
  baseUrl: string
}

/** A Gemini emulator of the test's own on a free loopback port, closed with the test. */
export async function emulatorForTest(t: TestContext, options: EmulatorOptions = {}): Promise<TestEmulator> {
  const app = buildEmulator(options)
  t.teardown(() => app.close())
  const baseUrl = await app.listen({ host: '127.0.0.1', port: 0 })
  return { ...app.emulator, baseUrl }
}
