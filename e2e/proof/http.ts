import { request } from 'node:http'
import type { Reply } from './contract.ts'

export interface Ask {
  method: string
  headers: Record<string, string>
  body?: Buffer | undefined
  signal: AbortSignal
}

/** One request over a connection of its own, so that a connection that breaks was broken for this request's sake. */
export function ask(url: string, { method, headers, body, signal }: Ask): Promise<Reply> {
  const { promise, resolve, reject } = Promise.withResolvers<Reply>()
  const length = body ? { 'content-length': String(body.length) } : {}
  const outgoing = request(url, { method, headers: { ...headers, ...length }, agent: false, signal }, (incoming) => {
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('error', reject)
    incoming.on('end', () => {
      resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body: Buffer.concat(chunks) })
    })
  })
  outgoing.on('error', reject)
  outgoing.end(body)
  return promise
}
