import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { prometheusForTest, type TestPrometheus } from '@knowalledge/testing'
import t from 'tap'
import { parse } from 'yaml'
import { eventually, fleetForTest, post } from './fleet.ts'
import type { DashboardFile } from './grafana-schema.ts'

const root = new URL('..', import.meta.url)
const read = (file: string) => readFileSync(new URL(file, root), 'utf8')
const rulesOf = (file: string) => (parse(read(file)) as { groups: { rules: Rule[] }[] }).groups.flatMap((g) => g.rules)
const alerts = rulesOf('prometheus/rules/alerts.yml')
const recorded = rulesOf('prometheus/rules/recording.yml')

t.test('each alert says what is the matter, and the runbook says what to do', async (t) => {
  const headings = [...read('docs/runbook.md').matchAll(/^#+ (.+)$/gm)].map((match) => match[1] ?? '')
  const anchors = headings.map((heading) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  )
  for (const { alert = '', labels, annotations } of alerts) {
    t.ok(annotations?.summary, alert)
    t.ok(['critical', 'warning'].includes(labels?.severity ?? ''), alert)
    const [file, anchor] = annotations?.runbook_url?.split('#') ?? []
    t.equal(file, 'docs/runbook.md')
    t.ok(anchors.includes(anchor ?? ''), `${alert}: #${anchor}`)
  }
})

t.test('each alert fires when it should, and stays silent when it should not', async (t) => {
  const { tests } = parse(read('prometheus/tests/alerts.yml')) as { tests: { alert_rule_test: AlertCase[] }[] }
  const cases = tests.flatMap((test) => test.alert_rule_test)
  for (const { alert = '' } of alerts) {
    const its = cases.filter(({ alertname }) => alertname === alert)
    t.ok(
      its.some(({ exp_alerts }) => exp_alerts.length > 0),
      `${alert} fires`,
    )
    t.ok(
      its.some(({ exp_alerts }) => exp_alerts.length === 0),
      `${alert} stays silent`,
    )
  }
  const { status, stderr } = spawnSync('promtool', ['test', 'rules', 'prometheus/tests/alerts.yml'], {
    cwd: root,
    encoding: 'utf8',
  })
  t.equal(status, 0, stderr)
})

t.test('the real Prometheus finds every instance, and every rule and every panel shows something', async (t) => {
  const fleet = await fleetForTest(t, { instances: 2, env: lively })
  const prometheus = await prometheusForTest(t, {
    gateway: [fleet.gateway.url],
    'text-generation': fleet.text.map(({ url }) => url),
    vision: [fleet.vision.url],
    'image-generation': [fleet.imageGeneration.url],
  })
  let over = false
  const traffic = (async () => {
    for (let n = 0; !over; n++) await people(fleet.gateway.url, { emulator: fleet.emulator.url, n })
  })()
  const waiting = (async () => {
    for (let n = 0; !over; n += 2) await Promise.all([n, n + 1].map((n) => waitInLine(fleet.text[0]?.url ?? '', n)))
  })()
  t.teardown(() => {
    over = true
  })

  const expressions = [...recorded.map(({ expr }) => expr), ...alerts.map(answering), ...panelExpressions()]
  t.ok(expressions.length > 60, `${expressions.length} expressions`)
  const silent = await withoutData(prometheus, expressions)
  t.same(silent, [], 'every expression has data')
  over = true
  await Promise.all([traffic, waiting])

  const found = () => instancesFound(prometheus)
  await eventually(found, (targets) => targets.length === 5 && targets.every(({ health }) => health !== 'unknown'))
  t.same((await found()).map(({ job, health }) => `${job} ${health}`).sort(), [
    'gateway up',
    'image-generation up',
    'text-generation up',
    'text-generation up',
    'vision up',
  ])

  const { groups } = await prometheus.api<{ groups: { rules: { name: string; health: string }[] }[] }>('rules')
  const rules = groups.flatMap((group) => group.rules)
  t.equal(rules.length, alerts.length + recorded.length)
  t.same(
    rules.filter(({ health }) => health !== 'ok'),
    [],
    'Prometheus evaluates every rule',
  )
})

/** Short lives in the caches, so that every layer and the fallback are met; more quota than is used. */
const lively = {
  EMULATOR_LATENCY_MS: '30',
  EMULATOR_RPM: '100000',
  EMULATOR_RPD: '100000',
  QUOTA_RPM: '100000',
  QUOTA_RPD: '100000',
  QUOTA_WINDOW_MS: '1000',
  CACHE_MEMORY_TTL_SECONDS: '1',
  CACHE_REDIS_TTL_SECONDS: '2',
}

/** A little of everything: new and known questions, many at once, pictures, bad input, and Gemini failing. */
async function people(url: string, { emulator, n }: { emulator: string; n: number }): Promise<void> {
  const ask = (path: string, body: object) => post(`${url}/api/${path}`, body)
  const presentation = { educationLevel: 'school', levelOfDetail: 'normal' }
  await Promise.all(Array.from({ length: 3 }, () => ask('create_subtopics', { topic: `Topic ${n % 5}` })))
  await ask('create_presentation', { ...presentation, topic: 'Light', focus: ['Rays', `Lens ${n}`] })
  const picture = await ask('generate_image', { prompt: `A leaf ${n % 3}` })
  const form = new FormData()
  form.set('image', new Blob([Buffer.from(String(picture.body.image), 'base64')]))
  await fetch(`${url}/api/image2topic`, { method: 'POST', body: form })
  await ask('create_subtopics', { topic: '' })
  await post(`${emulator}/emulator/faults`, { kind: '403_no_key', times: 1 })
  await ask('create_subtopics', { topic: n % 2 === 0 ? 'Topic 0' : `Nobody knows ${n}` })
  await fetch(`${emulator}/emulator/faults`, { method: 'DELETE' })
  await sleep(200)
}

/** Questions of a tenant that may ask one in a window, interactive and batch. */
async function waitInLine(url: string, n: number): Promise<void> {
  const question = { educationLevel: 'school', levelOfDetail: 'normal', topic: 'Waiting', focus: [`In line ${n}`] }
  const headers = { 'content-type': 'application/json', 'x-tenant': 'small;rpm=1', prefer: 'wait=10' }
  for (const [path, body] of [
    ['create_subtopics', { topic: `In line ${n}` }],
    ['create_presentation', question],
  ] as const)
    await (await fetch(`${url}/api/${path}`, { method: 'POST', headers, body: JSON.stringify(body) })).text()
}

/** Only what the target files name: on some networks a host is called `gateway`. */
async function instancesFound(prometheus: TestPrometheus) {
  const { activeTargets } = await prometheus.api<{ activeTargets: Target[] }>('targets')
  return activeTargets
    .filter(({ discoveredLabels }) => '__meta_filepath' in discoveredLabels)
    .map(({ labels, health }) => ({ job: labels.job, health }))
}

/** A comparison that does not hold answers nothing; with `bool` it answers 0, from the same series. */
function answering({ expr }: Rule): string {
  return expr.replaceAll(/ (>|<|==) /g, ' $1 bool ')
}

function panelExpressions(): string[] {
  const folder = new URL('grafana/dashboards/', root)
  const dashboards = readdirSync(folder).map((file) => JSON.parse(readFileSync(new URL(file, folder), 'utf8')))
  return (dashboards as DashboardFile[]).flatMap(({ panels }) =>
    panels.flatMap(({ targets }) => targets.map(({ expr }) => expr.replaceAll('$pool', '.*'))),
  )
}

/** Asks until each has answered with a figure, for a minute at most: two scrapes make a rate, a third its rule. */
async function withoutData(prometheus: TestPrometheus, expressions: readonly string[]): Promise<string[]> {
  const deadline = Date.now() + 60_000
  for (let left = [...expressions]; ; ) {
    const answers = await Promise.all(left.map((expression) => prometheus.query(expression)))
    left = left.filter((_, index) => !answers[index]?.some(({ value }) => Number.isFinite(value)))
    if (left.length === 0 || Date.now() > deadline) return left
    await sleep(1_000)
  }
}

interface Rule {
  alert?: string
  record?: string
  expr: string
  labels?: Record<string, string>
  annotations?: Record<string, string>
}

interface AlertCase {
  alertname: string
  exp_alerts: object[]
}

interface Target {
  discoveredLabels: Record<string, string>
  labels: { job: string }
  health: string
}
