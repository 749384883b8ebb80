import { STATUS_CODES } from 'node:http'
import { type Endpoint, endpoints } from './types.ts'

const maxLearnedValues = 50
const learnable = /^[a-z][a-z0-9_-]{0,59}$/

const knownMethods = new Set(['GET', 'POST', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'PATCH'])
const knownEndpoints: ReadonlySet<string> = new Set(endpoints)

/** The client left before the answer was complete; nginx's number for it. */
export const clientClosedRequest = 499

export function methodLabel(method: string): string {
  return knownMethods.has(method) ? method : 'OTHER'
}

export function endpointLabel(endpoint: string | undefined): Endpoint {
  return endpoint !== undefined && knownEndpoints.has(endpoint) ? (endpoint as Endpoint) : 'unknown'
}

/** The status code, or its class (`5xx`) when an upstream made the number up. */
export function statusLabel(status: number): string {
  const registered = String(status) in STATUS_CODES || status === clientClosedRequest
  return registered ? String(status) : `${Math.floor(status / 100)}xx`
}

/** Keeps a label's values to a closed set: the given ones, or, without any, the first 50 well-formed ones seen. */
export function closedSet(values?: readonly string[]): (value: string) => string {
  const known = new Set(values)
  const learning = values === undefined
  return (value) => {
    if (known.has(value)) return value
    if (!learning || known.size >= maxLearnedValues || !learnable.test(value)) return 'other'
    known.add(value)
    return value
  }
}
