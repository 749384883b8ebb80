import { type App, isKnownToClient } from '@knowalledge/service-kit'
import { loadAssets } from '@knowalledge/web'

/** Scripts, styles and images of this origin only, and nothing inline. `blob:` is for previews of photos. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' blob:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join(';')

/** Read once, and before an event loop is watched: it takes a tenth of a second. */
const assets = loadAssets()

/** `GET /`: the learning app, with its scripts and styles below `/assets/`. Browsers ask each time whether it changed. */
export function pages(app: App): void {
  for (const [path, { type, etag, body, gzipped }] of assets) {
    app.get(
      `/${path}`,
      { config: { endpoint: path.startsWith('ops') ? 'ops' : 'pages', quiet: true }, schema: { hide: true } },
      async (request, reply) => {
        reply.headers({ 'cache-control': 'no-cache', etag, vary: 'Accept-Encoding' })
        // Of a 304 too: its headers replace those that the browser has kept, and a reloaded page would load nothing.
        if (type.startsWith('text/html')) reply.header('content-security-policy', contentSecurityPolicy)
        if (isKnownToClient(request, etag)) return reply.code(304).send()
        const isGzipped = /\bgzip\b/.test(request.headers['accept-encoding'] ?? '')
        if (isGzipped) reply.header('content-encoding', 'gzip')
        return reply.type(type).send(isGzipped ? gzipped : body)
      },
    )
  }
}
