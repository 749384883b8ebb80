import { redisServerForTest, runKeys } from '@knowalledge/testing'
import sharp from 'sharp'
import t from 'tap'
import { overflow, pageForTest } from './browser.ts'
import { explain, explained, findSubtopics, shoot, siteForTest } from './learning-site.ts'

const looks = {
  'light-1440-en': { colorScheme: 'light', viewport: { width: 1440, height: 900 }, locale: 'en-US' },
  'dark-360-ar': { colorScheme: 'dark', viewport: { width: 360, height: 740 }, locale: 'ar-EG' },
  'light-360-ja': { colorScheme: 'light', viewport: { width: 360, height: 740 }, locale: 'ja-JP' },
  'dark-1440-he': { colorScheme: 'dark', viewport: { width: 1440, height: 900 }, locale: 'he-IL' },
} as const

for (const [name, look] of Object.entries(looks)) {
  t.test(`a topic becomes a lesson with an image: ${name}`, async (t) => {
    const { url } = await siteForTest(t)
    const { page, faults, inaccessible } = await pageForTest(t, url, look)
    const isGood = async (state: string) => {
      await shoot(page, `${name}-${state}`)
      t.strictSame(await inaccessible(), [], `${state} is accessible`)
      t.equal(await overflow(page), 0, `${state} fits the screen`)
    }
    const language = look.locale.slice(0, 2)
    t.equal(await page.getAttribute('html', 'dir'), ['ar', 'he'].includes(language) ? 'rtl' : 'ltr')
    t.equal(await page.getAttribute('html', 'lang'), language)
    await isGood('ask')
    await page.locator('.examples button').first().click()
    await page.waitForSelector('fieldset')
    await isGood('subtopics')
    await explain(page, 0, 1, 4, 7)
    await explained(page, 4)
    await isGood('lesson')
    await page.locator('.more button').first().click()
    await page.waitForSelector('img.image')
    await page.locator('img.image').scrollIntoViewIfNeeded()
    await isGood('image')
    t.strictSame(faults, [])
  })
}

t.test('reload and back keep what is there, and a cancelled lesson continues', async (t) => {
  const { url, fault, noFaults } = await siteForTest(t)
  const { page, faults } = await pageForTest(t, url)
  await findSubtopics(page, 'Photosynthesis')
  await fault({ kind: 'delay', delayMs: 60_000 })
  await explain(page, 0, 1)
  await shoot(page, 'writing')
  await page.getByRole('button', { name: 'Cancel' }).click()
  await noFaults()
  await page.getByRole('button', { name: 'Continue' }).click()
  await explained(page, 2)
  const text = await page.textContent('section')
  await page.reload()
  await explained(page, 2)
  t.equal(await page.textContent('section'), text)
  await page.goBack()
  t.equal(await page.locator('fieldset input:checked').count(), 2)
  await page.goBack()
  t.equal(await page.inputValue('#topic'), 'Photosynthesis')
  await page.goForward()
  await page.goForward()
  await explained(page, 2)
  t.strictSame(faults, [])
})

t.test('a pause of Gemini’s counts down and continues by itself', async (t) => {
  const { url, fault } = await siteForTest(t)
  const { page } = await pageForTest(t, url)
  await findSubtopics(page, 'Photosynthesis')
  await fault({ kind: '429_rpm', times: 1, retryDelay: '4s' })
  await explain(page, 0)
  await page.getByText(/Starts in \d+ sec/).waitFor()
  await shoot(page, 'paused')
  await explained(page, 1)
})

t.test('a failure has its sentence and a way on', async (t) => {
  const { url, fault, noFaults } = await siteForTest(t)
  const { page, inaccessible } = await pageForTest(t, url)
  await fault({ kind: 'safety_prompt' })
  await page.fill('#topic', 'Photosynthesis')
  await page.click('button[type=submit]')
  await page.getByText('for safety reasons').waitFor()
  await shoot(page, 'blocked')
  t.strictSame(await inaccessible(), [])
  await noFaults()
  await page.getByRole('button', { name: 'Try again' }).click()
  await page.waitForSelector('fieldset')
  await fault({ kind: '429_rpd' })
  await explain(page, 0)
  await page.getByText('All answers of today are given.').waitFor()
  await page.getByText(/Possible again in/).waitFor()
  await shoot(page, 'spent')
})

t.test('a photo gives the topic, and can be seen', async (t) => {
  const { url } = await siteForTest(t)
  const { page, faults } = await pageForTest(t, url)
  const buffer = await sharp({ create: { width: 80, height: 60, channels: 3, background: 'green' } })
    .png()
    .toBuffer()
  await page.setInputFiles('input[type=file]', { name: 'leaf.png', mimeType: 'image/png', buffer })
  await page.getByRole('img', { name: 'Your photo' }).waitFor()
  await page.locator('#topic:not(:placeholder-shown)').waitFor()
  await shoot(page, 'photo')
  t.strictSame(faults, [])
})

t.test('with AUTH=required a key is exchanged for a session', async (t) => {
  const redis = await redisServerForTest(t)
  const { url } = await siteForTest(t, {
    REDIS_URL: redis.url,
    AUTH: 'required',
    SESSION_SECRET: 'a-session-secret-that-all-gateways-share',
    COOKIE_SECURE: 'false',
    QUOTA_NEW_POOL: 'open',
  })
  const { page, faults, inaccessible } = await pageForTest(t, url)
  await page.fill('#topic', 'Photosynthesis')
  await page.click('button[type=submit]')
  await page.fill('input[name=key]', 'kae_wrong')
  await page.click('button[type=submit]')
  await page.getByText('This key is not accepted.').waitFor()
  await shoot(page, 'sign-in')
  t.strictSame(await inaccessible(), [])
  await page.fill('input[name=key]', await runKeys(redis.url, 'create', '--tenant', 'school-a'))
  await page.click('button[type=submit]')
  await page.waitForSelector('fieldset')
  await explain(page, 0)
  await explained(page, 1)
  t.strictSame(faults, [])
})
