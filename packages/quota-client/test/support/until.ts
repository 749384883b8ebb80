import { setTimeout as delay } from 'node:timers/promises'

/** Resolves when `isSo` says yes; for events of a real server that nobody announces. tap's timeout ends it otherwise. */
export async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await delay(5)
}
