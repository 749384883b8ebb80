import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, extname, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { transformSync } from 'amaro'
import { marked } from 'marked'

export interface Asset {
  type: string
  etag: string
  body: Buffer
  gzipped: Buffer
}

const types: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.ts': 'text/javascript; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
}

/** Where a browser finds what the sources import by name. */
const modules: Record<string, string> = {
  '@knowalledge/client': 'assets/client/index.ts',
  preact: 'assets/vendor/preact.mjs',
  'preact/hooks': 'assets/vendor/hooks.mjs',
  '@preact/signals-core': 'assets/vendor/signals-core.mjs',
  '@preact/signals': 'assets/vendor/signals.mjs',
  htm: 'assets/vendor/htm.mjs',
  uplot: 'assets/vendor/uplot.js',
}

const pages: Record<string, string> = { 'index.html': '', 'ops/index.html': 'ops' }

/** Both pages and what they load, by relative URL; '' is the learning app. Nothing is built: types are stripped once, here, by what Node itself strips with. */
export function loadAssets(): Map<string, Asset> {
  const src = fileURLToPath(new URL('src/', import.meta.url))
  const client = dirname(fileURLToPath(import.meta.resolve('@knowalledge/client')))
  const vendored = ['preact', 'preact/hooks', '@preact/signals', '@preact/signals-core', 'htm']
  const uplot = dirname(fileURLToPath(import.meta.resolve('uplot')))
  const files: [url: string, file: string][] = [
    ...filesIn(src).map((name): [string, string] => [pages[name] ?? `assets/app/${name}`, join(src, name)]),
    ...filesIn(client).map((name): [string, string] => [`assets/client/${name}`, join(client, name)]),
    ...vendored.map((name): [string, string] => [modules[name] as string, fileURLToPath(import.meta.resolve(name))]),
    [modules.uplot as string, join(uplot, 'uPlot.esm.js')],
    ['assets/vendor/uplot.css', join(uplot, 'uPlot.min.css')],
  ]
  const texts = new Map(files.map(([url, file]) => [url, textOf(url, file)]))
  for (const page of Object.values(pages)) texts.set(page, withPreloads(page, texts))
  const assets = files.map(([url, file]): [string, Asset] => [url, assetOf(extname(file), texts.get(url) ?? '')])
  return new Map([...assets, ['ops/runbook', assetOf('.html', runbookPage())]])
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => extname(name) in types)
}

function textOf(url: string, file: string): string {
  const text = readFileSync(file, 'utf8')
  return /\.(ts|m?js)$/.test(file) ? scriptOf(url, file, text) : text
}

function assetOf(extension: string, text: string): Asset {
  const body = Buffer.from(text)
  const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`
  return { type: types[extension] as string, etag, body, gzipped: gzipSync(body, { level: 9 }) }
}

/** The page with links to all that its script imports: without them a browser finds one level of imports after another. */
function withPreloads(page: string, texts: ReadonlyMap<string, string>): string {
  const html = texts.get(page) ?? ''
  const main = /<script type="module" src="([^"]+)"/.exec(html)?.[1] ?? ''
  const found = new Set<string>()
  const follow = (url: string) => {
    for (const [, path = ''] of (texts.get(url) ?? '').matchAll(/(?:\bfrom|\bimport)\s*['"](\.[^'"]+)['"]/g)) {
      const imported = posix.join(posix.dirname(url), path)
      if (found.has(imported) || imported === main) continue
      found.add(imported)
      follow(imported)
    }
  }
  follow(main)
  const links = Array.from(found, (url) => `<link rel="modulepreload" href="${url}" />`)
  return html.replace('  </head>', () => `    ${links.join('\n    ')}\n  </head>`)
}

function scriptOf(url: string, file: string, text: string): string {
  const script = file.endsWith('.ts') ? transformSync(text, { mode: 'strip-only' }).code : text
  return script.replace(/(\bfrom\s*|\bimport\s*)(['"])([^'"./][^'"]*)\2/g, (all, keyword, quote, name) => {
    const target = modules[name]
    if (target === undefined) return all
    return `${keyword}${quote}./${posix.relative(posix.dirname(url), target)}${quote}`
  })
}

/** docs/runbook.md as a page of its own, for the links of the operations page. */
function runbookPage(): string {
  const markdown = readFileSync(new URL('../docs/runbook.md', import.meta.url), 'utf8')
  const template = readFileSync(new URL('src/ops/runbook.template', import.meta.url), 'utf8')
  const body = marked.parse(markdown, { async: false })
  const withAnchors = body.replace(
    /<h2>([^<]+)<\/h2>/g,
    (_, title: string) => `<h2 id="${anchorOf(title)}">${title}</h2>`,
  )
  return template.replace('{body}', () => withAnchors)
}

/** As GitHub makes them, so that the links inside the runbook work in both places. */
function anchorOf(title: string): string {
  return title.toLowerCase().replaceAll(' ', '-')
}
