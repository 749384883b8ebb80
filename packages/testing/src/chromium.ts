import { execFileSync } from 'node:child_process'

/** Chromium's executable: CHROMIUM_PATH, else that of the PATH. Throws when there is none. */
export function chromiumPath(): string {
  const { CHROMIUM_PATH } = process.env
  if (CHROMIUM_PATH) return CHROMIUM_PATH
  try {
    return execFileSync('which', ['chromium'], { encoding: 'utf8' }).trim()
  } catch (cause) {
    throw new Error('There is no chromium in the PATH. Install it, or set CHROMIUM_PATH to its executable.', { cause })
  }
}
