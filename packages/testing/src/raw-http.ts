import { connect } from 'node:net'

export interface RawAnswer {
  status: number
  /** By lower-case name. */
  headers: Record<string, string>
  body: string
}

export interface Conversation {
  /** Final ones, in the order in which they came; interim ones (1xx) are left out. */
  answers: RawAnswer[]
  /** What came after the last complete answer: nothing, if the server keeps to HTTP. */
  rest: string
}

interface ConversationOptions {
  timeoutMs?: number
  /** Says that nothing follows the bytes, so that a server need not wait for the rest of half a request. */
  ends?: boolean
}

/**
 * Writes the bytes as they are, further pieces each after the server has said something, and listens until it closes the
 * connection; a server that keeps it open for so long fails the test.
 */
export async function converse(
  url: string,
  bytes: string | Buffer | (string | Buffer)[],
  { timeoutMs = 15_000, ends = false }: ConversationOptions = {},
): Promise<Conversation> {
  const [first = '', ...further] = Array.isArray(bytes) ? bytes : [bytes]
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true })
  const received: Buffer[] = []
  let late = false
  socket.on('data', (piece) => {
    received.push(piece)
    const next = further.shift()
    if (next !== undefined) socket.write(next)
  })
  socket.on('end', () => socket.end())
  socket.on('error', () => {}) // a server may reset what it no longer reads: what it said before is what counts
  const timer = setTimeout(() => {
    late = true
    socket.destroy()
  }, timeoutMs)
  socket.write(first)
  if (ends) socket.end()
  await new Promise((resolve) => socket.once('close', resolve))
  clearTimeout(timer)
  const conversation = readAnswers(Buffer.concat(received).toString('latin1'))
  if (late) throw new Error(`no end within ${timeoutMs} ms, after ${JSON.stringify(conversation)}`)
  return conversation
}

/** Answers that carry a Content-Length, are chunked, or may have no body. */
function readAnswers(received: string): Conversation {
  const answers: RawAnswer[] = []
  let rest = received
  for (;;) {
    const end = rest.indexOf('\r\n\r\n')
    const [, status] = /^HTTP\/1\.1 (\d{3}) /.exec(rest) ?? []
    if (end === -1 || status === undefined) return { answers, rest }
    const headers = Object.fromEntries(
      rest
        .slice(0, end)
        .split('\r\n')
        .slice(1)
        .map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
    )
    const body = readBody(Number(status), headers, rest.slice(end + 4))
    if (body === undefined) return { answers, rest }
    if (Number(status) >= 200) answers.push({ status: Number(status), headers, body: utf8(body.text) })
    rest = rest.slice(end + 4 + body.length)
  }
}

function readBody(status: number, headers: Record<string, string>, rest: string) {
  if (status < 200 || status === 204 || status === 304) return { text: '', length: 0 }
  if (headers['transfer-encoding'] === 'chunked') return readChunks(rest)
  const length = Number(headers['content-length'] ?? Number.NaN)
  return rest.length >= length ? { text: rest.slice(0, length), length } : undefined
}

function readChunks(rest: string): { text: string; length: number } | undefined {
  let text = ''
  for (let at = 0; ; ) {
    const [head, size] = /^([0-9a-f]+)\r\n/i.exec(rest.slice(at, at + 20)) ?? []
    if (head === undefined || size === undefined) return undefined
    const length = Number.parseInt(size, 16)
    text += rest.slice(at + head.length, at + head.length + length)
    at += head.length + length + 2
    if (length === 0) return rest.length >= at ? { text, length: at } : undefined
  }
}

const utf8 = (latin1: string) => Buffer.from(latin1, 'latin1').toString()
