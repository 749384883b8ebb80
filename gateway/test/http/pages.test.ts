import t from 'tap'
import { request } from 'undici'
import { gatewayForTest } from '../fixtures.ts'

t.test('a page that is known keeps its policy: a 304 replaces the headers that a browser has kept', async (t) => {
  const { url } = await gatewayForTest(t)
  const first = await fetch(`${url}/`)
  t.equal(first.status, 200)
  const policy = first.headers.get('content-security-policy')
  t.match(policy, /script-src 'self'/)
  t.notMatch(policy, /unsafe|\*/)
  for (const etag of [first.headers.get('etag') ?? '', `"other", W/${first.headers.get('etag')}`]) {
    const known = await fetch(`${url}/`, { headers: { 'if-none-match': etag } })
    t.equal(known.status, 304)
    t.equal(known.headers.get('content-security-policy'), policy)
  }
})

t.test('everything that the page loads is served, from this origin', async (t) => {
  const { url } = await gatewayForTest(t)
  const html = await (await fetch(`${url}/`)).text()
  const paths = Array.from(html.matchAll(/(?:src|href)="([^"]+)"/g), ([, path]) => String(path))
  t.ok(paths.length >= 2)
  for (const path of paths) {
    t.notMatch(path, /^(\/|https?:)/, 'relative, so that the page works below a path')
    const asset = await fetch(new URL(path, `${url}/`))
    t.equal(asset.status, 200, path)
    t.match(asset.headers.get('content-type'), /javascript|css|svg|html/)
  }
})

t.test('the learning page with all its scripts and styles is at most 40 kB compressed', async (t) => {
  const { url } = await gatewayForTest(t)
  const size = async (path: string) => {
    const { body } = await request(new URL(path, `${url}/`), { headers: { 'accept-encoding': 'gzip' } })
    return (await body.arrayBuffer()).byteLength
  }
  const html = await (await fetch(`${url}/`)).text()
  const paths = Array.from(html.matchAll(/(?:src|href)="([^"]+)"/g), ([, path]) => String(path))
  t.ok(
    paths.some((path) => path.endsWith('vendor/preact.mjs')),
    'the page names what its script imports',
  )
  const sizes = await Promise.all(['', ...new Set(paths)].map(size))
  const bytes = sizes.reduce((sum, size) => sum + size, 0)
  t.ok(bytes <= 40_000, `${bytes} bytes`)
})
