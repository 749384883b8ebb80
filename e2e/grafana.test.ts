import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { parse } from 'yaml'
import type { DashboardFile } from './grafana-schema.ts'

const root = new URL('..', import.meta.url)
const folder = new URL('grafana/dashboards/', root)
const read = (file: string) => JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as DashboardFile
const files = readdirSync(folder)
const dashboards = files.map(read)

t.test('the dashboards fit the schema of Grafana’s own package, and what does not is found', async (t) => {
  const overview = () => structuredClone(read('overview.json')) as unknown as Spoilt
  const spoilt: Record<string, Spoilt> = {
    unknown_field: { ...overview(), pannels: [] },
    missing_schema_version: { ...overview(), schemaVersion: undefined },
    wrong_type: { ...overview(), graphTooltip: 'shared' },
    unknown_panel_type: spoilPanel(overview(), { type: 'graph' }),
    wrong_enum_of_an_option: spoilPanel(overview(), {
      options: { ...overview().panels[0]?.options, colorMode: 'rainbow' },
    }),
    missing_option: spoilPanel(overview(), { options: {} }),
    other_data_source: spoilPanel(overview(), { datasource: { type: 'prometheus', uid: 'mine' } }),
    no_description: spoilPanel(overview(), { description: undefined }),
  }
  const source = (dashboard: object) =>
    `import type { DashboardFile } from '${new URL('e2e/grafana-schema.ts', root).pathname}'\nexport const it: DashboardFile = ${JSON.stringify(dashboard)}\n`
  const sources = Object.fromEntries([
    ...files.map((file, index) => [`fits-${file}.ts`, source(dashboards[index] as DashboardFile)]),
    ...Object.entries(spoilt).map(([name, dashboard]) => [`wrong-${name}.ts`, source(dashboard)]),
  ])
  const directory = t.testdir({
    ...sources,
    'tsconfig.json': JSON.stringify({
      extends: new URL('tsconfig.json', root).pathname,
      compilerOptions: {
        rewriteRelativeImportExtensions: false,
        typeRoots: [new URL('node_modules/@types', root).pathname],
      },
      include: ['*.ts'],
    }),
  })
  // tap puts its own loaders into NODE_OPTIONS of every child, and tsc does not run with them.
  const tsc = ['-u', 'NODE_OPTIONS', 'tsc', '-p', directory, '--pretty', 'false']
  const { stdout, stderr } = spawnSync('env', tsc, { encoding: 'utf8' })
  t.equal(stderr, '')
  const refused = new Set([...stdout.matchAll(/([\w.-]+)\.ts\(\d+,\d+\): error/g)].map((match) => match[1]))
  t.same(
    [...refused].sort(),
    Object.keys(spoilt)
      .map((name) => `wrong-${name}`)
      .sort(),
    stdout,
  )
})

t.test('panels, data source and provisioning name each other', async (t) => {
  const provisioning = (file: string) => parse(readFileSync(new URL(`grafana/provisioning/${file}`, root), 'utf8'))
  t.match(provisioning('datasources/prometheus.yml'), {
    apiVersion: 1,
    datasources: [{ uid: 'prometheus', type: 'prometheus', url: 'http://prometheus:9090' }],
  })
  t.match(provisioning('dashboards/knowalledge.yml'), {
    apiVersion: 1,
    providers: [{ type: 'file', options: { path: '/var/lib/grafana/dashboards' } }],
  })
  t.equal(new Set(dashboards.map(({ uid }) => uid)).size, dashboards.length)
})

t.test('no panel lies on another, and each has a number of its own', async (t) => {
  for (const { title, panels } of dashboards) {
    t.equal(new Set(panels.map(({ id }) => id)).size, panels.length, title)
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, n) => `${x + (n % w)},${y + Math.floor(n / w)}`),
    )
    t.equal(new Set(cells).size, cells.length, title)
    t.ok(
      panels.every(({ gridPos: { x, w } }) => x + w <= 24),
      title,
    )
  }
})

interface Spoilt {
  panels: Record<string, object>[]
  [field: string]: unknown
}

function spoilPanel(dashboard: Spoilt, change: object): Spoilt {
  const [first, ...others] = dashboard.panels
  return { ...dashboard, panels: [{ ...first, ...change }, ...others] }
}
