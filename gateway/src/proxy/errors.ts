import { HttpError } from '@knowalledge/service-kit'

const unreachable = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ETIMEDOUT',
  'EPIPE',
  'UND_ERR_SOCKET',
  'UND_ERR_CONNECT_TIMEOUT',
])
const late = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT'])

/** What a client is told of a service that failed: never an address, never a stack. reply-from has logged the cause. */
export function upstreamError(service: string, error: Error): HttpError {
  const cause = (error.cause ?? error) as Error
  if (cause instanceof HttpError) return cause // the client's own body was too large
  if (isUnreachable(cause)) {
    return new HttpError(
      'service_unavailable',
      `The ${service} service cannot be reached right now. Try again in a moment.`,
      { cause },
    )
  }
  if (late.has(codeOf(cause)) || cause.name === 'TimeoutError') {
    return new HttpError('timeout', `The ${service} service took too long to answer. Try again.`)
  }
  return new HttpError('bad_gateway', `The ${service} service gave an answer that cannot be understood. Try again.`, {
    cause,
  })
}

/** No connection, or one that broke. */
export function isUnreachable(error: Error): boolean {
  return unreachable.has(codeOf(error))
}

function codeOf(error: Error): string {
  return (error as NodeJS.ErrnoException).code ?? ''
}
