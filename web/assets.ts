import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, extname, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { transformSync } from 'amaro'

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
}

/** The learning app by relative URL; the page itself is ''. Nothing is built: types are stripped once, here, by what Node itself strips with. */
export function loadAssets(): Map<string, Asset> {
  const src = fileURLToPath(new URL('src/', import.meta.url))
  const client = dirname(fileURLToPath(import.meta.resolve('@knowalledge/client')))
  const vendored = ['preact', 'preact/hooks', '@preact/signals', '@preact/signals-core', 'htm']
  const files: [url: string, file: string][] = [
    ...filesIn(src).map((name): [string, string] => [
      name === 'index.html' ? '' : `assets/app/${name}`,
      join(src, name),
    ]),
    ...filesIn(client).map((name): [string, string] => [`assets/client/${name}`, join(client, name)]),
    ...vendored.map((name): [string, string] => [modules[name] as string, fileURLToPath(import.meta.resolve(name))]),
  ]
  return new Map(files.map(([url, file]) => [url, assetOf(url, file)]))
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => extname(name) in types)
}

function assetOf(url: string, file: string): Asset {
  const text = readFileSync(file, 'utf8')
  const body = Buffer.from(/\.(ts|mjs)$/.test(file) ? scriptOf(url, file, text) : text)
  const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`
  return { type: types[extname(file)] as string, etag, body, gzipped: gzipSync(body, { level: 9 }) }
}

function scriptOf(url: string, file: string, text: string): string {
  const script = file.endsWith('.ts') ? transformSync(text, { mode: 'strip-only' }).code : text
  return script.replace(/(\bfrom\s*|\bimport\s*)(['"])([^'"./][^'"]*)\2/g, (all, keyword, quote, name) => {
    const target = modules[name]
    if (target === undefined) return all
    return `${keyword}${quote}./${posix.relative(posix.dirname(url), target)}${quote}`
  })
}
