import { Agent, type Dispatcher, request as sendRequest } from 'undici'
import { GeminiError } from './errors.ts'
import { errorFromStatus } from './http-errors.ts'

export interface Post {
  url: string
  headers: Record<string, string>
  body: string
  signal: AbortSignal
}

export interface Transport {
  /** The body of a 200. @throws GeminiError for everything else, also for 4xx and 5xx */
  post(request: Post): Promise<string>
  /** Breaks off what is in flight and releases the connections. */
  close(): Promise<void>
}

const MAX_RESPONSE_BYTES = 32 * 1024 * 1024
/** Calls come some seconds apart; undici's default of 4 s would open a connection for nearly each. */
const KEEP_ALIVE_MS = 30_000
const CONNECT_TIMEOUT_MS = 5_000

/** One pool of kept-alive connections. The API key is taken out of every message that Google writes it into. */
export function createTransport(apiKey: string): Transport {
  const agent = new Agent({
    connect: { timeout: CONNECT_TIMEOUT_MS },
    keepAliveTimeout: KEEP_ALIVE_MS,
    maxResponseSize: MAX_RESPONSE_BYTES,
    allowH2: false, // what is tested here: HTTP/1.1
  })
  return {
    async post(post) {
      const attempt: Attempt = { wasSent: false }
      const { promise: aborted, reject } = Promise.withResolvers<never>()
      const onAbort = () => reject(abortError(post.signal, attempt.wasSent))
      post.signal.addEventListener('abort', onAbort, { once: true })
      try {
        // undici itself hears an abort only once it is connected.
        const { status, text } = await Promise.race([exchange(agent, post, attempt), aborted])
        if (status === 200) return text
        throw errorFromStatus(status, apiKey === '' ? text : text.replaceAll(apiKey, '[key]'))
      } catch (error) {
        throw error instanceof GeminiError ? error : errorFromFailure(error, post.signal, attempt.wasSent)
      } finally {
        post.signal.removeEventListener('abort', onAbort)
      }
    },
    // agent.close() would wait for a connection attempt that no call needs any more.
    close: () => agent.destroy(),
  }
}

interface Attempt {
  wasSent: boolean
}

async function exchange(agent: Agent, { url, headers, body, signal }: Post, attempt: Attempt) {
  const dispatcher = agent.compose(markWhenSent(attempt))
  const response = await sendRequest(url, { dispatcher, method: 'POST', headers, body, signal })
  return { status: response.statusCode, text: await response.body.text() }
}

/**
 * undici calls `onRequestStart` once a connected socket is chosen and right before the first byte is written. Until then
 * the request has provably not left: no name, no connection, no TLS, or still waiting for one of them.
 */
function markWhenSent(attempt: Attempt): Dispatcher.DispatcherComposeInterceptor {
  return (dispatch) => (options, handler) =>
    dispatch(options, {
      onRequestStart(controller, context) {
        attempt.wasSent = true
        handler.onRequestStart?.(controller, context)
      },
      onResponseStart: (...rest) => handler.onResponseStart?.(...rest),
      onResponseData: (...rest) => handler.onResponseData?.(...rest),
      onResponseEnd: (...rest) => handler.onResponseEnd?.(...rest),
      onResponseError: (...rest) => handler.onResponseError?.(...rest),
    })
}

function errorFromFailure(cause: unknown, signal: AbortSignal, wasSent: boolean): GeminiError {
  if (signal.aborted) return abortError(signal, wasSent)
  const code = codeOf(cause)
  if (!wasSent) {
    return new GeminiError('unavailable', `Gemini could not be reached (${code})`, { reachedGemini: false, cause })
  }
  if (code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE') {
    return new GeminiError('malformed', `The answer was larger than ${MAX_RESPONSE_BYTES} bytes`, { cause })
  }
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') {
    return new GeminiError('timeout', `Gemini fell silent (${code})`, { cause })
  }
  return new GeminiError('unavailable', `The connection to Gemini broke (${code})`, { retryable: true, cause })
}

/** A deadline that passed is a `timeout`; any other abort is `cancelled`. */
export function abortError(signal: AbortSignal, reachedGemini: boolean): GeminiError {
  const cause: unknown = signal.reason
  const isTimeout = cause instanceof Error && cause.name === 'TimeoutError'
  return isTimeout
    ? new GeminiError('timeout', 'Gemini did not answer before the deadline', { reachedGemini, cause })
    : new GeminiError('cancelled', 'The call was cancelled before Gemini answered', { reachedGemini, cause })
}

/** The error's code; for several addresses tried at once, the first one's. */
function codeOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return codeOf(error.errors[0])
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code
  return error instanceof Error ? error.name : 'unknown'
}

/** What a call needs to know of the client. */
export interface Endpoint {
  baseUrl: string
  apiKey: string
  model: string
  transport: Transport
}
