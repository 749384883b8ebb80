import { errorOf, KnowAllEdgeError } from './errors.ts'

export interface ClientOptions {
  /** Where the gateway is, such as `https://learn.example/backend/`. */
  baseUrl: string | URL
  /** An API key. Without one the session cookie counts, which browsers send by themselves. */
  key?: string | undefined
  /** `include` sends the session cookie to another origin. Default `same-origin`. */
  credentials?: 'omit' | 'same-origin' | 'include'
  /** For tests and proxies. Default the global one. */
  fetch?: typeof fetch
}

export interface CallOptions {
  /** Ends the call, its waits and its stream; the call rejects with the signal's reason. */
  signal?: AbortSignal | undefined
  /** Seconds that the server may let the call wait in line for a start (`Prefer: wait=…`) before it refuses. */
  wait?: number | undefined
  /** A refused call is repeated while its waits add up to no more than this. Default 90,000; 0 never repeats. */
  maxRetryWaitMs?: number | undefined
  /** Called before each wait for a repetition. */
  onRetry?: ((retry: { error: KnowAllEdgeError; waitMs: number }) => void) | undefined
}

export interface HttpRequest {
  method: 'GET' | 'POST' | 'DELETE'
  /** Relative to `baseUrl`, without a slash at its start. */
  path: string
  query?: object
  /** FormData, or what becomes JSON. */
  body?: unknown
  accept?: string
  headers?: Record<string, string>
  /** Statuses that are answers though they are no success. */
  alsoAnswers?: number[]
}

export type Send = (request: HttpRequest, options?: CallOptions) => Promise<Response>

const defaultMaxRetryWaitMs = 90_000
const maxNetworkRetries = 2
const networkRetryMs = 300

/** Sends requests and gives their good responses. Repeats only what is safe: see `retryWaitMs`. */
export function createSend({ baseUrl, key, credentials = 'same-origin', fetch: given }: ClientOptions): Send {
  const base = new URL(baseUrl)
  if (!base.pathname.endsWith('/')) base.pathname += '/'
  let csrfToken: string | undefined

  return async (request, options = {}) => {
    const { signal, maxRetryWaitMs = defaultMaxRetryWaitMs, onRetry } = options
    let budgetMs = maxRetryWaitMs
    let tokenWasFetched = false
    for (let attempt = 0; ; attempt++) {
      try {
        return await exchange(request, options)
      } catch (error) {
        signal?.throwIfAborted()
        if (!(error instanceof KnowAllEdgeError)) throw error
        if (error.code === 'csrf_rejected' && key === undefined && !tokenWasFetched) {
          tokenWasFetched = true
          csrfToken = await fetchCsrfToken(signal)
          continue
        }
        const waitMs = retryWaitMs(error, request, attempt)
        if (waitMs === undefined || waitMs > budgetMs) throw error
        budgetMs -= waitMs
        onRetry?.({ error, waitMs })
        await sleep(waitMs, signal)
      }
    }
  }

  async function exchange(request: HttpRequest, { signal, wait }: CallOptions): Promise<Response> {
    const { method, path, query = {}, body, accept = 'application/json', headers = {}, alsoAnswers = [] } = request
    const url = new URL(path, base)
    for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, value)
    const isForm = body instanceof FormData
    const init: RequestInit = {
      method,
      credentials,
      signal: signal ?? null,
      headers: {
        accept,
        ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
        ...(csrfToken === undefined || method === 'GET' ? {} : { 'x-csrf-token': csrfToken }),
        ...(wait === undefined ? {} : { prefer: `wait=${Math.ceil(wait)}` }),
        ...(body === undefined || isForm ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: isForm ? body : JSON.stringify(body) }),
    }
    const response = await (given ?? fetch)(url, init).catch((cause: unknown) => {
      throw new KnowAllEdgeError('network_error', `No answer from ${url.origin}. Check the connection.`, { cause })
    })
    if (response.ok || alsoAnswers.includes(response.status)) return response
    throw await errorOf(response)
  }

  async function fetchCsrfToken(signal: AbortSignal | undefined): Promise<string> {
    const response = await exchange({ method: 'GET', path: 'api/csrf-token' }, { signal })
    return ((await response.json()) as { csrf_token: string }).csrf_token
  }
}

/**
 * How long to wait before a repetition; undefined when none is safe. A refusal that names its wait (429, 503) was made
 * before any work. After a broken connection nobody knows what was done, so only GET is sent again.
 */
function retryWaitMs(error: KnowAllEdgeError, { method }: HttpRequest, attempt: number): number | undefined {
  // A little later, and not all clients at the same moment.
  if (error.retryAfterMs !== undefined) return error.retryAfterMs + Math.random() * 500
  if (error.code !== 'network_error' || method !== 'GET' || attempt >= maxNetworkRetries) return undefined
  return networkRetryMs * 2 ** attempt
}

function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    }, ms)
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}
