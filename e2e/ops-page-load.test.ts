import { freePortsInARow, processForTest } from '@knowalledge/testing'
import type { OpsState } from '@knowalledge/web/ops-state'
import type { CDPSession } from 'playwright-core'
import t from 'tap'
import { overflow, pageForTest } from './browser.ts'

const port = await freePortsInARow(5)
const { url } = await processForTest(t, 'scripts/start.ts', { port, env: { MAX_EVENT_LOOP_DELAY_MS: '0' } })

const startMs = Date.UTC(2030, 0, 1)

/** Of a busy fleet, `n` times 2 s after the start. */
function stateOf(n: number): OpsState {
  const limit = (name: 'rpm' | 'tpm' | 'rpd' | 'tpd', size: number) => {
    const used = Math.floor((size * (n % 30)) / 30)
    return { name, limit: size, used, held: 0, free: size - used, resetsInMs: 1_000 * (n % 60) }
  }
  const atMs = startMs + 2_000 * n
  return {
    atMs,
    pools: ['one', 'two'].map((name) => ({
      name,
      limits: [limit('rpm', 15), limit('tpm', 1_000_000), limit('rpd', 1_500), limit('tpd', 50_000_000)],
      queue: { interactive: { length: n % 5, startsInMs: 900 }, batch: { length: n % 7, startsInMs: 9_000 } },
      hold: n % 10 === 0 ? { cause: 'restart', endsInMs: 9_000 } : null,
      pause: null,
      degraded: false,
      unavailable: null,
    })),
    instances: ['gateway', 'text-generation', 'vision', 'image-generation'].map((service, index) => ({
      service,
      url: `http://10.0.0.${index}:5000`,
      isUp: n % 9 !== index,
      version: '1.0.0',
      uptimeSeconds: 2 * n,
      memoryBytes: 1e8 + n,
      eventLoopDelayMs: n % 20,
    })),
    cache: { memory: 3 * n, redis: n, coalesced: n, miss: 2 * n, fallback: 0, store: n },
    gemini: ['flash', 'image'].map((model) => ({
      model,
      calls: { success: 2 * n, timeout: Math.floor(n / 10) },
      tokens: 800 * n,
      seconds: 2 * n,
      within: { 1: n, 5: 2 * n, '+Inf': 2 * n },
    })),
    refused: { rpm: n },
    waiting: Array.from({ length: n % 10 }, (_, index) => ({
      client: `browser ${n + index}`,
      priority: 'batch' as const,
      waitedMs: 1_000 * index,
      startsInMs: 1_000,
      position: index + 1,
    })),
    clients: Array.from({ length: 20 }, (_, index) => ({
      client: `browser ${Math.floor(n / 10) + index}`,
      questions: n,
      failed: 0,
      geminiCalls: n,
      tokens: n * index,
      lastAtMs: atMs,
    })),
    needsToken: false,
    faults: Array.from({ length: n % 4 }, (_, index) => ({
      message: `fault ${n - index}`,
      kind: 'timeout',
      remedy: undefined,
      count: n,
      atMs,
      services: ['vision'],
      runbook: 'geminierrors',
    })),
  }
}

t.test('an hour of events leaves no more behind than its first quarter', async (t) => {
  const eventsPerConnection = 30
  let sent = 0
  const { page, faults, inaccessible } = await pageForTest(t, `${url}/ops`, {
    prepare: async (page) => {
      await page.clock.install({ time: startMs })
      await page.route('**/ops/events', (route) => {
        const events = Array.from({ length: eventsPerConnection }, () => JSON.stringify(stateOf(sent++)))
        const body = events.map((event) => `event: state\ndata: ${event}\n\n`).join('')
        return route.fulfill({ contentType: 'text/event-stream', body })
      })
    },
  })
  const devtools = await page.context().newCDPSession(page)
  /** Connects again and again, until so many events are shown: a minute each time. */
  const shows = async (count: number) => {
    while (sent < count) {
      const lastSent = sent
      await page.clock.runFor(60_000)
      if (sent === lastSent) await page.waitForTimeout(5) // for what is no timer: the response
    }
    await page.locator('.faults li b', { hasText: `fault ${sent - 1}` }).waitFor()
  }
  const minute = eventsPerConnection
  await shows(16 * minute + 1) // 15 minutes are kept
  const before = await leftBehind(devtools)
  await shows(60 * minute + 1)
  const after = await leftBehind(devtools)
  t.ok(after.nodes <= before.nodes + 100, `DOM nodes: ${before.nodes}, then ${after.nodes}`)
  t.ok(after.listeners <= before.listeners + 5, `listeners: ${before.listeners}, then ${after.listeners}`)
  t.ok(after.heap <= 1.25 * before.heap, `bytes of heap: ${before.heap}, then ${after.heap}`)
  t.strictSame(await inaccessible(), [])
  t.strictSame(faults, [])
})

async function leftBehind(devtools: CDPSession) {
  await devtools.send('HeapProfiler.collectGarbage')
  const { usedSize } = await devtools.send('Runtime.getHeapUsage')
  const { nodes, jsEventListeners } = await devtools.send('Memory.getDOMCounters')
  return { heap: usedSize, nodes, listeners: jsEventListeners }
}

for (const [width, height] of [
  [320, 568],
  [1440, 900],
  [3840, 2160],
] as const) {
  t.test(`fits a screen of ${width} × ${height}`, async (t) => {
    const { page, faults, inaccessible } = await pageForTest(t, `${url}/ops`, {
      viewport: { width, height },
      colorScheme: 'dark',
      prepare: (page) =>
        page.route('**/ops/events', (route) =>
          route.fulfill({
            contentType: 'text/event-stream',
            body: `event: state\ndata: ${JSON.stringify(stateOf(1_799))}\n\n`,
          }),
        ),
    })
    await page.locator('.faults li').first().waitFor()
    t.equal(await overflow(page), 0)
    if (width >= 1_440) t.ok((await page.evaluate<number>('document.documentElement.scrollHeight')) <= height + 1)
    t.strictSame(await inaccessible(), [])
    t.strictSame(faults, [])
  })
}
