import { runKeys } from '@knowalledge/testing'
import type { Page } from 'playwright-core'
import t from 'tap'
import { pageForTest } from './browser.ts'
import { fleetForTest, post } from './fleet.ts'

const rowOf = (page: Page, card: string, name: string) => page.locator(`section.${card} tr`, { hasText: name })

t.test('shows what a fleet does, as it happens', async (t) => {
  const { gateway, emulator, text } = await fleetForTest(t, { instances: 2 })
  const { page, faults, inaccessible } = await pageForTest(t, `${gateway.url}/ops`)
  await page.getByText('All 5 instances answer').waitFor()
  const ask = (topic: string) => post(`${gateway.url}/api/create_subtopics`, { topic })
  for (const topic of ['Light', 'Sound', 'Light']) await ask(topic)
  await page.locator('.meter', { hasText: 'Requests a minute' }).getByText('2 of 15').waitFor()
  await page.locator('.cache').getByText('33 % answered without a call').waitFor()
  await rowOf(page, 'clients', 'address 127.0.0.1').waitFor()
  t.match(await rowOf(page, 'clients', 'address 127.0.0.1').allTextContents(), [/^address 127\.0\.0\.1302/])
  t.match(await rowOf(page, 'instances', 'text-generation').count(), 2)

  await post(`${emulator.url}/emulator/faults`, { kind: '500', times: 1 })
  await ask('Heat')
  const fault = page.locator('.faults li', { hasText: 'Gemini call failed: unavailable' })
  await fault.waitFor()
  t.equal(await fault.getByRole('link', { name: 'What to do' }).getAttribute('href'), 'ops/runbook#geminierrors')
  await rowOf(page, 'gemini', 'gemini').getByText('1 unavailable').waitFor()
  t.strictSame(await inaccessible(), [])

  await post(`${emulator.url}/emulator/faults`, { kind: '429_rpd' })
  await ask('Water')
  await page.getByText(/Gemini said 429 \(rpd\): paused for \d+ h/).waitFor()
  t.match(await page.locator('.meter', { hasText: 'Requests a minute' }).textContent(), /\d+ held back, 0 free/)

  await text[1]?.stop('SIGKILL')
  await page.getByText('text-generation does not answer').waitFor()
  await rowOf(page, 'instances', 'no answer').waitFor()
  await gateway.stop()
  await page.getByText('No connection to the gateway').waitFor()
  t.strictSame(await inaccessible(), [])
  t.strictSame(faults, [])
})

t.test('shows who waits, and for how long', async (t) => {
  const { gateway } = await fleetForTest(t, { env: { QUOTA_RPM: '2' } })
  const { page, faults } = await pageForTest(t, `${gateway.url}/ops`)
  const leaving = new AbortController()
  t.teardown(() => leaving.abort())
  for (const topic of ['Light', 'Sound']) await post(`${gateway.url}/api/create_subtopics`, { topic })
  const waits = fetch(`${gateway.url}/api/create_subtopics`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
    body: JSON.stringify({ topic: 'Heat' }),
    signal: leaving.signal,
  })
  await page.locator('.queue', { hasText: 'Interactive: 1 in line' }).waitFor()
  await rowOf(page, 'waiting', 'address 127.0.0.1').waitFor()
  t.match(await rowOf(page, 'waiting', 'address 127.0.0.1').textContent(), /interactive1\d+ s\d+ s/)
  await (await waits).body?.cancel()
  await page.getByText('Nobody waits.').waitFor()
  t.strictSame(faults, [])
})

t.test('with AUTH=required the token shows the clients', async (t) => {
  const adminToken = 'a-token-of-the-test'
  const secret = 'a-secret-that-gateway-and-services-share'
  const { gateway, redis } = await fleetForTest(t, {
    env: { AUTH: 'required', SESSION_SECRET: secret, GATEWAY_SECRET: secret, ADMIN_TOKEN: adminToken },
  })
  const key = await runKeys(redis.url, 'create', '--tenant', 'school-a')
  const asked = await post(
    `${gateway.url}/api/create_subtopics`,
    { topic: 'Light' },
    { authorization: `Bearer ${key}` },
  )
  t.equal(asked.status, 200)
  const { page, faults, inaccessible } = await pageForTest(t, `${gateway.url}/ops`)
  await page.getByLabel('ADMIN_TOKEN shows them').fill('not the token')
  await page.getByRole('button', { name: 'Show' }).click()
  await page.getByText('This is not the token.').waitFor()
  t.strictSame(await inaccessible(), [])
  await page.getByText('All 4 instances answer').waitFor()
  t.notMatch(await page.textContent('body'), 'school-a')
  await page.getByLabel('ADMIN_TOKEN shows them').fill(adminToken)
  await page.keyboard.press('Enter')
  await rowOf(page, 'clients', 'tenant school-a').waitFor()
  t.strictSame(faults, [])
})
