import { type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { type ErrorName, errorStatus } from './errors.ts'

/** Requests of a connection that are not over: unanswered, or answered while their body still arrives. */
const open = new WeakMap<Duplex, ServerResponse[]>()

/** What Node would answer, or leave unanswered, by itself: it goes through the app like any other request, or gets the one error shape. */
export function keepBrokenHttpInShape(server: Server): void {
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

/** A request so broken that it never becomes one of Fastify's: still the one error shape, and the connection ends. */
export function answerBrokenHttp(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable || !isNextInTurn(socket)) return void socket.destroy()
  end(socket, ...(known[error.code ?? ''] ?? ['invalid_input', 'This is not a valid HTTP request.']))
}

const known: Record<string, [error: ErrorName, message: string]> = {
  HPE_HEADER_OVERFLOW: ['headers_too_large', 'The headers are too large: at most 16 KiB together.'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: ['payload_too_large', 'The chunk extensions are too large: leave them out.'],
  ERR_HTTP_REQUEST_TIMEOUT: ['request_timeout', 'The request took too long to arrive.'],
}

/** Would an answer now be the broken request's own, and its first? Else it would pass for another's, or stand in the middle of it. */
function isNextInTurn(socket: Duplex): boolean {
  const [first, ...others] = (open.get(socket) ?? []).filter(isOpen)
  return first === undefined || (others.length === 0 && !first.req.complete && !first.headersSent)
}

function isOpen({ writableFinished, req }: ServerResponse): boolean {
  return !writableFinished || !req.complete
}

function end(socket: Duplex, code: ErrorName, message: string): void {
  const status = errorStatus[code]
  const body = JSON.stringify({ error: code, message })
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  )
}
