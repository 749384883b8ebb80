import { mkdirSync } from 'node:fs'
import { freePortsInARow, processForTest } from '@knowalledge/testing'
import type { Page } from 'playwright-core'
import type { Test } from 'tap'
import { post } from './fleet.ts'

/** Screenshots for a person to look at: SCREENSHOTS=folder. */
const folder = process.env.SCREENSHOTS
if (folder) mkdirSync(folder, { recursive: true })
export const shoot = async (page: Page, name: string) => {
  if (folder) await page.screenshot({ path: `${folder}/${name}.png` })
}

/** Everything as `npm start` runs it, and its emulator's faults. */
export async function siteForTest(t: Test, env: Record<string, string> = {}) {
  const port = await freePortsInARow(5)
  const { url } = await processForTest(t, 'scripts/start.ts', { port, env: { MAX_EVENT_LOOP_DELAY_MS: '0', ...env } })
  const faultsUrl = `http://127.0.0.1:${port + 4}/emulator/faults`
  return {
    url: `${url}/`,
    fault: (fault: object) => post(faultsUrl, fault),
    noFaults: () => fetch(faultsUrl, { method: 'DELETE' }),
  }
}

export async function findSubtopics(page: Page, topic: string): Promise<void> {
  await page.fill('#topic', topic)
  await page.click('button[type=submit]')
  await page.waitForSelector('fieldset')
}

export async function explain(page: Page, ...places: number[]): Promise<void> {
  for (const place of places) await page.locator('fieldset input').nth(place).check()
  await page.click('button[type=submit]')
  await page.waitForSelector('.lesson')
}

export const explained = (page: Page, count: number) =>
  page
    .locator('section.done')
    .nth(count - 1)
    .waitFor()
