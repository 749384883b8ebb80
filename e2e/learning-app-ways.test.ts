import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { nginxForTest, processForTest } from '@knowalledge/testing'
import type { Page } from 'playwright-core'
import sharp from 'sharp'
import t from 'tap'
import { overflow, pageForTest } from './browser.ts'
import { eventually, post } from './fleet.ts'
import { explain, explained, findSubtopics, shoot, siteForTest } from './learning-site.ts'

/** Nothing is refused here. */
const plenty = { QUOTA_RPM: '1000', CLIENT_SHARE_PER_DAY: '1' }
const site = await siteForTest(t, plenty)

t.test(
  'with the minute spent, each explanation says when it starts and what is before it, and all continue',
  async (t) => {
    // The minute is shorter than that of the emulator, which has no limit here.
    const emulator = await processForTest(t, 'packages/gemini-emulator/src/server.ts', {
      readyPath: '/emulator/counters',
      env: { EMULATOR_RPM: '1000' },
    })
    const { url } = await siteForTest(t, {
      QUOTA_RPM: '2',
      QUOTA_WINDOW_MS: '5000',
      CLIENT_SHARE_PER_DAY: '1',
      GEMINI_BASE_URL: emulator.url,
      GEMINI_API_KEY: 'e2e-key',
    })
    const { page, faults, inaccessible } = await pageForTest(t, url)
    await findSubtopics(page, 'Photosynthesis')
    await explain(page, 0, 1, 2)
    await page
      .getByText(/Starts in \d+ sec, \d before you/)
      .first()
      .waitFor()
    await shoot(page, 'waiting')
    t.strictSame(await inaccessible(), [])
    await explained(page, 3)
    t.strictSame(faults, [])
  },
)

t.test('a slow model: the place of an explanation says that it is being written', async (t) => {
  const { page, faults } = await pageForTest(t, site.url)
  await findSubtopics(page, 'Volcanoes')
  await site.fault({ kind: 'delay', delayMs: 3_000, times: 1 })
  await explain(page, 0)
  await page.getByText('Being written').waitFor()
  await explained(page, 1)
  t.strictSame(faults, [])
})

t.test(
  'a lesson is copied and downloaded as Markdown, and printed without what cannot be pressed on paper',
  async (t) => {
    const { page, faults } = await pageForTest(t, site.url, { permissions: ['clipboard-read', 'clipboard-write'] })
    await findSubtopics(page, 'Photosynthesis')
    await explain(page, 0, 1)
    await explained(page, 2)
    await page.getByRole('button', { name: 'Copy as Markdown' }).click()
    await page.getByRole('button', { name: 'Copied' }).waitFor()
    const copied = await page.evaluate<string>('navigator.clipboard.readText()')
    t.match(copied, /^# Photosynthesis\n\n## .+\n\n[\s\S]+\*\*In real life:\*\*[\s\S]+youtube\.com/)
    const downloading = page.waitForEvent('download')
    await page.getByRole('button', { name: 'Download' }).click()
    const download = await downloading
    t.equal(download.suggestedFilename(), 'Photosynthesis.md')
    t.equal(readFileSync(await download.path(), 'utf8'), copied)
    await page.emulateMedia({ media: 'print' })
    t.equal(await page.locator('button:visible, nav:visible').count(), 0)
    t.equal(await page.locator('section.done h2:visible').count(), 2)
    const width = await page
      .locator('section.done')
      .first()
      .evaluate((section) => section.clientWidth)
    t.ok(width > 800, `the text has the width of the paper, not ${width} px`)
    await shoot(page, 'print')
    t.strictSame(faults, [])
  },
)

t.test('a photo that is dropped on the page gives the topic', async (t) => {
  const { page, faults } = await pageForTest(t, site.url)
  const photo = await sharp({ create: { width: 80, height: 60, channels: 3, background: 'green' } })
    .png()
    .toBuffer()
  const dataTransfer = await page.evaluateHandle((base64) => {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))
    const transfer = new (
      globalThis as unknown as { DataTransfer: new () => { items: { add(file: File): void } } }
    ).DataTransfer()
    transfer.items.add(new File([bytes], 'leaf.png', { type: 'image/png' }))
    return transfer
  }, photo.toString('base64'))
  await page.dispatchEvent('form.ask', 'drop', { dataTransfer })
  await page.getByRole('img', { name: 'Your photo' }).waitFor()
  await page.locator('#topic:not(:placeholder-shown)').waitFor()
  t.strictSame(faults, [])
})

t.test('an older copy is said to be one', async (t) => {
  const { url, fault } = await siteForTest(t, { ...plenty, RATE_LIMIT_PER_MINUTE: '0', CACHE_MEMORY_TTL_SECONDS: '1' })
  const { page, inaccessible } = await pageForTest(t, url)
  await findSubtopics(page, 'Photosynthesis')
  await fault({ kind: '500' })
  // Fresh for a second, then stale.
  const ask = () => post(`${url}api/create_subtopics`, { topic: 'Photosynthesis', language: 'en' })
  await eventually(ask, ({ body }) => body.from_fallback === true)
  await page.goBack()
  await page.click('button[type=submit]')
  await page.getByText('Older copy: a new answer is not available now').waitFor()
  await shoot(page, 'stale')
  t.strictSame(await inaccessible(), [])
})

t.test('the keyboard is enough', async (t) => {
  const { page, faults } = await pageForTest(t, site.url)
  const tabTo = async (selector: string) => {
    for (let n = 0; n < 60; n++) {
      if (await page.locator(`${selector}:focus`).count()) return
      await page.keyboard.press('Tab')
    }
    throw new Error(`Tab does not lead to ${selector}`)
  }
  await tabTo('#topic')
  await page.keyboard.type('Glaciers')
  await tabTo('select[name=level]')
  await page.keyboard.press('ArrowDown')
  await tabTo('button[type=submit]')
  await page.keyboard.press('Enter')
  await page.waitForSelector('fieldset')
  await tabTo('fieldset input')
  await page.keyboard.press('Space')
  await tabTo('button[type=submit]')
  await page.keyboard.press('Enter')
  await explained(page, 1)
  t.equal(
    await page.evaluate('document.activeElement.textContent'),
    'Glaciers',
    'the heading of the new view has the focus',
  )
  await tabTo('.more button')
  await page.keyboard.press('Enter')
  await page.waitForSelector('img.image')
  t.strictSame(faults, [])
})

for (const [width, height] of [
  [320, 568],
  [3840, 2160],
] as const) {
  t.test(`fits a screen of ${width} × ${height}`, async (t) => {
    const { page, faults } = await pageForTest(t, site.url, { viewport: { width, height } })
    const fits = async (view: string) => {
      t.equal(await overflow(page), 0, view)
      await shoot(page, `${width}-${view}`)
    }
    await fits('ask')
    await findSubtopics(page, 'Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft')
    await fits('subtopics')
    await explain(page, 0, 1)
    await explained(page, 2)
    await fits('lesson')
    t.strictSame(faults, [])
  })
}

/** All of a lesson, with an image, which has a URL that the server made. */
async function plays(page: Page): Promise<void> {
  await findSubtopics(page, 'Rivers')
  await explain(page, 0)
  await explained(page, 1)
  await page.locator('.more button').click()
  const width = () => page.evaluate<number | undefined>('document.querySelector("img.image")?.naturalWidth')
  await eventually(width, (pixels = 0) => pixels > 0)
}

t.test('works below a path', async (t) => {
  const proxy = createServer((incoming, reply) => {
    const path = incoming.url?.replace(/^\/learn/, '') ?? '/'
    const { method, headers } = incoming
    const outgoing = request(new URL(path, site.url), { method, headers }, (answer) => {
      reply.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(reply)
    })
    incoming.pipe(outgoing)
  }).listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  t.teardown(() => {
    proxy.closeAllConnections()
    proxy.close()
  })
  const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}/learn/`
  const { page, faults } = await pageForTest(t, url, { within: url })
  await plays(page)
  t.strictSame(faults, [])
})

t.test('works behind the edge, which hides the operations page', async (t) => {
  const { url } = await nginxForTest(t, { gateways: [site.url.replace(/\/$/, '')] })
  const { page, faults } = await pageForTest(t, `${url}/`)
  await plays(page)
  t.strictSame(faults, [])
  for (const path of ['/ops', '/ops/events', '/ops/runbook']) t.equal((await fetch(url + path)).status, 404, path)
})
