import { isUtf8 } from 'node:buffer'
import type { App } from './app.ts'
import { HttpError } from './errors.ts'

/**
 * JSON is UTF-8 (RFC 8259 §8.1). Anything else would be read with replacement characters, asked so and paid for. For
 * those who read JSON themselves: a proxy that streams it needs its own parser.
 */
export function refuseOtherThanUtf8(app: App): void {
  const parse = app.getDefaultJsonParser('error', 'error')
  app.removeContentTypeParser('application/json')
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    if (isUtf8(body)) parse(request, body.toString(), done)
    else done(new HttpError('invalid_input', 'The body is not UTF-8, as JSON must be.'))
  })
}
