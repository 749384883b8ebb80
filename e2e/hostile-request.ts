/** A request as bytes, and what it must end in. */
export interface HostileRequest {
  name: string
  bytes: string | Buffer
  /** Of the one answer. */
  status: number
  error: string
}

/** Requests that all end in the same way, by what they are. */
export function ending(status: number, error: string, requests: Record<string, string | Buffer>): HostileRequest[] {
  return Object.entries(requests).map(([name, bytes]) => ({ name, bytes, status, error }))
}

/** Lines with CRLF after each, and the empty one that ends a head. */
export function head(...lines: string[]): string {
  return `${lines.join('\r\n')}\r\n\r\n`
}

export function get(path: string, ...headers: string[]): string {
  return head(`GET ${path} HTTP/1.1`, 'host: x', 'connection: close', ...headers)
}

/** Well-framed, so that only what it holds is wrong. */
export function post(path: string, body: string | Buffer, ...headers: string[]): Buffer {
  const framing = ['host: x', 'connection: close', `content-length: ${Buffer.byteLength(body)}`]
  return Buffer.concat([
    Buffer.from(head(`POST ${path} HTTP/1.1`, ...framing, ...headers)),
    Buffer.from(body as string),
  ])
}
