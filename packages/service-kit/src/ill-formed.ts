import type { IncomingMessage } from 'node:http'
import type { App } from './app.ts'
import { HttpError } from './errors.ts'

const maxHeaders = 100
const hostPattern = /^(?:[\w.~!$&'()*+,;=%-]+|\[[\da-f:.]+\])(?::\d*)?$/i

/**
 * What Node's parser lets through although HTTP forbids it, or two readers could understand in two ways. First of all
 * hooks after the request's id, so that nothing else has to think of it.
 */
export function refuseIllFormed(app: App): void {
  app.addHook('onRequest', (request, _reply, done) => done(faultOf(request.raw)))
}

function faultOf({ url = '', httpVersion, headers, rawHeaders }: IncomingMessage): HttpError | undefined {
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return invalid('This is not HTTP/1.1.')
  // Beyond 2,000 Node drops headers without a word.
  if (rawHeaders.length > 2 * maxHeaders) {
    return new HttpError('headers_too_large', `There are too many headers: at most ${maxHeaders}.`)
  }
  if (!url.startsWith('/') && url !== '*')
    return invalid('The request must name a path, and no other host: this is no proxy.')
  if (!isDecodable(url)) return invalid('The query is not percent-encoded UTF-8.')
  const hosts = countOf('host', rawHeaders)
  if (hosts > 1) return invalid('There is more than one Host header.')
  if (headers.host === undefined ? httpVersion === '1.1' : !hostPattern.test(headers.host)) {
    return invalid('The Host header is missing or no host.')
  }
  if (headers.expect !== undefined && headers.expect.toLowerCase() !== '100-continue') {
    return new HttpError('expectation_failed', 'Expect can only be 100-continue.')
  }
  const coding = headers['content-encoding']
  if (coding !== undefined && coding.toLowerCase() !== 'identity') {
    return new HttpError('unsupported_media_type', 'Content-Encoding is not supported: send the body uncompressed.')
  }
  return undefined
}

function invalid(message: string): HttpError {
  return new HttpError('invalid_input', message)
}

/** A query that is not would be taken as it is written, escapes and all. (Fastify has seen to the path.) */
function isDecodable(url: string): boolean {
  if (!url.includes('%')) return true
  try {
    decodeURIComponent(url)
    return true
  } catch {
    return false // URIError: nothing else can be thrown for a text
  }
}

/** Node keeps the first Host of several and hides the others. */
function countOf(name: string, rawHeaders: string[]): number {
  let count = 0
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const given = rawHeaders[at] as string
    if (given.length === name.length && given.toLowerCase() === name) count++
  }
  return count
}
