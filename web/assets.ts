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
  const runbook = assetOf({ type: types['.html'] as string, text: runbookPage() })
  return new Map([
    ...files.map(([url, file]): [string, Asset] => [url, assetOfFile(url, file)]),
    ['ops/runbook', runbook],
  ])
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => extname(name) in types)
}

function assetOfFile(url: string, file: string): Asset {
  const text = readFileSync(file, 'utf8')
  const isScript = /\.(ts|m?js)$/.test(file)
  return assetOf({ type: types[extname(file)] as string, text: isScript ? scriptOf(url, file, text) : text })
}

function assetOf({ type, text }: { type: string; text: string }): Asset {
  const body = Buffer.from(text)
  const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`
  return { type, etag, body, gzipped: gzipSync(body, { level: 9 }) }
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
