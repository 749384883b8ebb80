// `npm run screenshots`: the images of both pages in the README, docs/images/*.png.
import { chromiumPath } from '@knowalledge/testing'
import { chromium, type Page } from 'playwright-core'
import sharp from 'sharp'
import { scriptContext, startPages } from './pages.ts'

const context = scriptContext()
try {
  const { url, emulatorUrl } = await startPages(context)
  const browser = await chromium.launch({ executablePath: chromiumPath(), args: ['--no-sandbox'] })
  context.teardown(() => browser.close())
  const learner = await browser.newPage({ viewport: { width: 1280, height: 860 }, locale: 'en-US' })
  const operator = await browser.newPage({ viewport: { width: 1440, height: 900 }, colorScheme: 'dark' })
  await operator.goto(`${url}/ops`)
  await operator.locator('.pool').waitFor()

  await learner.goto(url)
  await learner.getByRole('button', { name: 'Photosynthesis' }).click()
  for (const place of [0, 1, 3, 6, 8]) await learner.locator('fieldset input').nth(place).check()
  await learner.getByRole('button', { name: 'Explain', exact: true }).click()
  await learner.locator('section.done').nth(4).waitFor()
  await learner.mouse.move(0, 0)
  await save(learner, 'learning-app')

  await fetch(`${emulatorUrl}/emulator/faults`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ kind: '500', times: 1 }),
  })
  const leaving = new AbortController()
  const topics = [
    'Light',
    'Sound',
    'Light',
    'Heat',
    'Water',
    'Sound',
    'Light',
    'Stone',
    'Wood',
    'Iron',
    'Salt',
    'Snow',
    'Rain',
  ]
  for (const topic of topics) {
    void ask(url, topic, leaving.signal)
    await operator.waitForTimeout(2_000)
  }
  await operator.locator('.waiting tbody tr').first().waitFor()
  await save(operator, 'operations')
  leaving.abort()
} finally {
  await context.end()
}

/** With a place in line, once the minute's requests are spent. */
async function ask(url: string, topic: string, signal: AbortSignal): Promise<void> {
  const headers = { 'content-type': 'application/json', accept: 'text/event-stream' }
  const body = JSON.stringify({ topic })
  const reply = await fetch(`${url}/api/create_subtopics`, { method: 'POST', headers, body, signal })
  await reply.text().catch((error) => {
    if (!signal.aborted) throw error
  })
}

async function save(page: Page, name: string): Promise<void> {
  const file = `docs/images/${name}.png`
  await sharp(await page.screenshot())
    .png({ palette: true, colours: 64, effort: 10 })
    .toFile(file)
  console.log(file)
}
