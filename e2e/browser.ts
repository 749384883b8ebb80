import { chromiumPath } from '@knowalledge/testing'
import axe from 'axe-core'
import { type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import type { Test } from 'tap'

interface PageOptions extends BrowserContextOptions {
  /** Everything that the page requests begins with this. Default: the page's origin. */
  within?: string
  /** Called before the page is loaded. */
  prepare?: (page: Page) => Promise<unknown>
}

/** Debian's Chromium, and what its pages must never do: request another origin, violate the policy, fail in a script. */
export async function pageForTest(t: Test, url: string, { within, prepare, ...options }: PageOptions = {}) {
  const browser = await chromium.launch({ executablePath: chromiumPath(), args: ['--no-sandbox'] })
  t.teardown(() => browser.close())
  const context = await browser.newContext({ locale: 'en-US', ...options })
  const page = await context.newPage()
  const faults: string[] = []
  const allowed = [within ?? new URL(url).origin, 'blob:']
  page.on('request', (request) => {
    if (!allowed.some((start) => request.url().startsWith(start))) faults.push(`requests ${request.url()}`)
  })
  page.on('pageerror', (error) => faults.push(error.message))
  page.on('console', (message) => {
    if (message.text().includes('Content Security Policy')) faults.push(message.text())
  })
  await prepare?.(page)
  await page.goto(url)
  await page.waitForSelector('h1')
  return { page, faults, inaccessible: () => inaccessible(page) }
}

/** What axe-core finds against WCAG 2.2 AA and good practice. */
async function inaccessible(page: Page): Promise<string[]> {
  await page.evaluate(axe.source)
  const { violations } = await page.evaluate(() =>
    (globalThis as unknown as { axe: typeof axe }).axe.run({
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
    }),
  )
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(', ')}`)
}

/** Pixels by which the page is wider than the screen. */
export function overflow(page: Page): Promise<number> {
  return page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')
}
