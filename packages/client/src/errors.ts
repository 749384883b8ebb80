export type LimitType = 'rpm' | 'rpd' | 'tpm' | 'tpd' | 'upstream' | 'client'

export interface ErrorDetails {
  status?: number | undefined
  retryAfterMs?: number | undefined
  limitType?: LimitType | undefined
  requestId?: string | undefined
  cause?: unknown
}

/** Every failure of a call but an abort, which rejects with the reason of its signal. */
export class KnowAllEdgeError extends Error {
  /**
   * The server's `error`, such as `quota_exceeded`; or `network_error` when there was no answer, `connection_lost` when
   * an answer broke off, `bad_answer` when it is not this API's.
   */
  readonly code: string
  /** The HTTP status; undefined without an answer. */
  readonly status: number | undefined
  /** After this wait a repetition can succeed; undefined when the server names none. */
  readonly retryAfterMs: number | undefined
  /** Which limit a `quota_exceeded` reached. */
  readonly limitType: LimitType | undefined
  /** Names this request in the server's log. */
  readonly requestId: string | undefined

  constructor(code: string, message: string, details: ErrorDetails = {}) {
    super(message, { cause: details.cause })
    this.name = 'KnowAllEdgeError'
    this.code = code
    this.status = details.status
    this.retryAfterMs = details.retryAfterMs
    this.limitType = details.limitType
    this.requestId = details.requestId
  }
}

/** From a response whose status says that it failed. */
export async function errorOf(response: Response): Promise<KnowAllEdgeError> {
  const body = (await response.json().catch(() => undefined)) as Record<string, unknown> | null | undefined
  return errorOfBody(body, response)
}

/** From the body of an error, whether it is a response of its own or an event of a stream. */
export function errorOfBody(body: Record<string, unknown> | null | undefined, response: Response): KnowAllEdgeError {
  const { error, message, limit_type, retry_after } = body ?? {}
  const details = {
    status: response.status,
    retryAfterMs: retryAfterMs(response.headers.get('retry-after')) ?? retryAfterMs(retry_after),
    limitType: limit_type as LimitType | undefined,
    requestId: response.headers.get('x-request-id') ?? undefined,
  }
  if (typeof error === 'string') return new KnowAllEdgeError(error, String(message ?? error), details)
  const text = `The server answered ${response.status}, and not in the form of this API. Is baseUrl right?`
  return new KnowAllEdgeError('bad_answer', text, details)
}

/** When reading an answer failed, or it ended too soon. */
export function lostConnection(response: Response, cause?: unknown): KnowAllEdgeError {
  const requestId = response.headers.get('x-request-id') ?? undefined
  const message = 'The answer broke off. Send the request again: what was finished comes from the cache.'
  return new KnowAllEdgeError('connection_lost', message, { status: response.status, requestId, cause })
}

/** Of `37`, `37 seconds`, or an HTTP date as proxies send it. */
function retryAfterMs(value: unknown): number | undefined {
  if (typeof value !== 'string') return undefined
  const seconds = /^\s*(\d+)/.exec(value)?.[1]
  if (seconds !== undefined) return Number(seconds) * 1_000
  const date = Date.parse(value)
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now())
}
