import { readJson } from './answer.ts'
import { GeminiError } from './errors.ts'
import { askThroughSdk } from './generative-ai.ts'
import { generateWithGemini, generateWithImagen } from './pictures.ts'
import { abortError, createTransport } from './transport.ts'
import type { Gemini, GeminiAnswer, JsonRequest, Picture } from './types.ts'

export interface GeminiOptions {
  /** Absent or blank: every call rejects with `not_configured` and nothing is sent. */
  apiKey?: string | undefined
  /** Default https://generativelanguage.googleapis.com; trailing slashes are tolerated. */
  baseUrl?: string | undefined
  /** `gemini` draws through `:generateContent`, `imagen` through `:predict`. */
  imageBackend: 'gemini' | 'imagen'
}

const GOOGLE = 'https://generativelanguage.googleapis.com'

/** A client for Gemini. Every rejection is a GeminiError; nothing is retried here. */
export function createGemini(options: GeminiOptions): Gemini {
  const apiKey = options.apiKey?.trim() ?? ''
  const baseUrl = (options.baseUrl ?? GOOGLE).replace(/\/+$/, '')
  const transport = createTransport(apiKey)
  const generatePicture = options.imageBackend === 'imagen' ? generateWithImagen : generateWithGemini

  const calls = new OpenCalls()

  function run<T>(signal: AbortSignal, call: () => Promise<T>): Promise<T> {
    return calls.run(async () => {
      assertMaySend(apiKey, signal)
      return call()
    })
  }

  function ask(request: JsonRequest & { picture?: Picture }): Promise<GeminiAnswer<unknown>> {
    const { model, signal } = request
    return run(signal, async () => readJson(await askThroughSdk({ baseUrl, apiKey, model, transport }, request), model))
  }

  return {
    generateJson: ask,
    describePicture: ask,
    generatePicture: (request) =>
      run(request.signal, () => generatePicture({ baseUrl, apiKey, model: request.model, transport }, request)),
    async close() {
      await calls.close()
      await transport.close()
    },
  }
}

/** The SDK sends a request whose signal is already aborted; we do not. */
function assertMaySend(apiKey: string, signal: AbortSignal): void {
  if (!/^[\x21-\x7e]+$/.test(apiKey)) {
    const what = apiKey === '' ? 'No Gemini API key is configured' : 'The Gemini API key cannot be sent in a header'
    throw new GeminiError('not_configured', what, { reachedGemini: false })
  }
  if (signal.aborted) throw abortError(signal, false)
}

/** The calls in flight, so that closing can wait for them. */
class OpenCalls {
  readonly #running = new Set<Promise<unknown>>()
  #isClosed = false

  /** @throws GeminiError unavailable once closed */
  async run<T>(start: () => Promise<T>): Promise<T> {
    if (this.#isClosed) throw new GeminiError('unavailable', 'The Gemini client is closed', { reachedGemini: false })
    const call = start()
    this.#running.add(call)
    try {
      return await call
    } finally {
      this.#running.delete(call)
    }
  }

  /** Takes no more calls and resolves when the last one has ended, however it ended. */
  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.allSettled(this.#running)
  }
}
