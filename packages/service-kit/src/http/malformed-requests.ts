import { type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import fp from 'fastify-plugin'
import { type ErrorName, HttpError, httpErrors } from '../errors/http-error.ts'

/** The open requests of each connection: unanswered, or answered while their body still arrives. */
const open = new WeakMap<Duplex, ServerResponse[]>()

/** Requests that Node would answer by itself, or not at all, go through the app or get the shape of every error. */
export function routeMalformedRequests(server: Server): void {
  server.prependListener('request', (request: IncomingMessage, response: ServerResponse) => {
    const others = (open.get(request.socket) ?? []).filter(isOpen)
    open.set(request.socket, [...others, response])
  })

  server.on('checkExpectation', (request, response) => server.emit('request', request, response))
  server.on('connect', (_request, socket: Duplex) => {
    socket.on('error', () => socket.destroy())
    end(socket, 'method_not_allowed', 'CONNECT is not possible here: this is no proxy.')
  })
}

/** Fastify's `clientErrorHandler`: for requests that cannot be parsed. Answers in the shape of every error and closes. */
export function answerUnparsable(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable || !isNextInTurn(socket)) return void socket.destroy()
  end(socket, ...(known[error.code ?? ''] ?? ['invalid_input', 'This is not a valid HTTP request.']))
}

const known: Record<string, [error: ErrorName, message: string]> = {
  HPE_HEADER_OVERFLOW: ['headers_too_large', 'The headers are too large: at most 16 KiB together.'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: ['payload_too_large', 'The chunk extensions are too large: leave them out.'],
  ERR_HTTP_REQUEST_TIMEOUT: ['request_timeout', 'The request took too long to arrive.'],
}

/** True when an answer now would be taken for this request's, and not for another's or stand in the middle of one. */
function isNextInTurn(socket: Duplex): boolean {
  const [first, ...others] = (open.get(socket) ?? []).filter(isOpen)
  return first === undefined || (others.length === 0 && !first.req.complete && !first.headersSent)
}

function isOpen({ writableFinished, req }: ServerResponse): boolean {
  return !writableFinished || !req.complete
}

function end(socket: Duplex, code: ErrorName, message: string): void {
  const status = httpErrors[code]
  const body = JSON.stringify({ error: code, message })
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  )
}

const maxHeaders = 100
const hostPattern = /^(?:[\w.~!$&'()*+,;=%-]+|\[[\da-f:.]+\])(?::\d*)?$/i

/**
 * Refuses what Node's parser lets through although HTTP forbids it, or two readers could understand in two ways. The
 * first of all hooks but those of the request id and the log.
 */
export const refuseMalformed = fp(
  async (app) => {
    app.addHook('onRequest', (request, _reply, done) => done(faultOf(request.raw)))
  },
  { name: 'refuse-malformed', dependencies: ['request-log'] },
)

function faultOf({ url = '', httpVersion, headers, rawHeaders }: IncomingMessage): HttpError | undefined {
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return invalid('This is not HTTP/1.1.')
  // Beyond 2,000 Node drops headers without an error.
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
    return false // URIError: nothing else can be thrown for a string
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
