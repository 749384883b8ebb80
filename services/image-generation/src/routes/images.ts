import { errorShape, upstreamErrors } from '@knowalledge/generation'
import type { ResponseCache } from '@knowalledge/response-cache'
import { type App, cachingHeaders, HttpError, isKnownToClient, NothingNew } from '@knowalledge/service-kit'
import { Type } from 'typebox'
import { findByHash } from '../drawing.ts'

const Params = Type.Object({ sha256: Type.String({ pattern: '^[0-9a-f]{64}$', description: '64 hex digits' }) })

const bytesOf = (contentMediaType: string) => ({ schema: { type: 'string', contentMediaType } })

const PictureBytes = Type.Unsafe<Buffer>({
  description: 'The picture itself, good for a year',
  headers: cachingHeaders,
  content: { 'image/png': bytesOf('image/png'), 'image/jpeg': bytesOf('image/jpeg') },
})

/** `GET /api/images/<sha256>`: a picture as plain bytes. What a hash names never changes, so any copy is good for a year. */
export function images(app: App, { cache }: { cache: ResponseCache }): void {
  app.get(
    '/api/images/:sha256',
    {
      config: { endpoint: 'images' },
      schema: {
        summary: 'A generated picture by its hash',
        tags: ['learning'],
        params: Params,
        response: {
          200: PictureBytes,
          304: NothingNew,
          400: errorShape(400, 'This is no hash'),
          404: errorShape(404, 'The picture is not kept any more'),
          ...upstreamErrors,
        },
      },
    },
    async (request, reply) => {
      const { sha256 } = request.params
      const etag = `"${sha256}"`
      const drawing = await findByHash(cache, sha256)
      if (!drawing)
        throw new HttpError(
          'not_found',
          'This picture is not kept any more. Ask for it again with POST /api/generate_image.',
        )
      reply.header('etag', etag).header('cache-control', 'public, max-age=31536000, immutable')
      if (isKnownToClient(request, etag)) return reply.code(304).send()
      return reply.type(drawing.mimeType).send(Buffer.from(drawing.base64, 'base64'))
    },
  )
}
