import fastify from 'fastify'
import { type Context, Dropped } from './call.ts'
import { Ledger } from './counters.ts'
import { FaultStore } from './faults.ts'
import { GoogleError, internalError, invalidArgument } from './google-errors.ts'
import { Limits } from './limits.ts'
import { registerCalls, sendJson } from './routes/calls.ts'
import { registerControl } from './routes/control.ts'
import { registerModels } from './routes/models.ts'
import type { EmulatedModel, Emulator, EmulatorHandle, EmulatorOptions } from './types.ts'

const MAX_REQUEST_BYTES = 20 * 1024 * 1024

const DEFAULT_MODELS: EmulatedModel[] = [
  { name: 'gemini-3.8-flash', kind: 'text' },
  { name: 'gemini-3.5-flash-lite', kind: 'text' },
  { name: 'gemini-flash-latest', version: 'gemini-3.8-flash', kind: 'text' },
  { name: 'gemini-3.1-flash-image', kind: 'image' },
  { name: 'imagen-4.0-generate-001', kind: 'imagen' },
]

/** A Gemini for development and tests, with its control handle at `.emulator`. Listen with `.listen()`. */
export function buildEmulator(options: EmulatorOptions = {}): Emulator {
  const closing = new AbortController()
  const context = buildContext(options, closing.signal)
  const handle = buildHandle(context)
  const app = fastify({ logger: options.logger ?? false, bodyLimit: MAX_REQUEST_BYTES, forceCloseConnections: 'idle' })
  app.addHook('preClose', async () => closing.abort())
  // A connection kept alive by an answer that was in flight at close would hold the server open.
  app.addHook('onSend', async (_request, reply) => {
    if (closing.signal.aborted) reply.header('connection', 'close')
  })
  app.setErrorHandler<GoogleError | Dropped | Error>((error, request, reply) => {
    if (error instanceof Dropped) return reply.hijack()
    if (request.url.startsWith('/emulator/')) return reply.send(error)
    const googleError = asGoogleError(error)
    if (googleError.httpStatus >= 500 && !(error instanceof GoogleError)) request.log.error(error)
    return sendJson(reply.code(googleError.httpStatus), googleError.body)
  })
  for (const version of ['v1beta', 'v1']) {
    registerModels(app, context, version)
    registerCalls(app, context, version)
  }
  registerControl(app, handle)
  return Object.assign(app, { emulator: handle })
}

function buildContext(options: EmulatorOptions, closing: AbortSignal): Context {
  const clock = options.clock ?? Date.now
  const limits = { rpm: 15, inputTpm: 1_000_000, rpd: 1500, ...options.limits }
  return {
    options: { latencyMs: options.latencyMs ?? 0, pictureFormat: options.pictureFormat ?? 'png' },
    apiKeys: options.apiKeys && new Set(options.apiKeys),
    models: new Map((options.models ?? DEFAULT_MODELS).map((model) => [model.name, model])),
    clock,
    limits: new Limits(limits, {
      windowMs: options.windowMs ?? 60_000,
      limitsPer: options.limitsPer ?? 'model',
      modelLimits: options.modelLimits ?? {},
      dayTimeZone: options.dayTimeZone ?? 'America/Los_Angeles',
      clock,
    }),
    faults: new FaultStore(clock),
    ledger: new Ledger(),
    closing,
  }
}

function buildHandle({ faults, ledger, limits }: Context): EmulatorHandle {
  return {
    faults,
    counters: () => ledger.counters,
    calls: () => ledger.calls,
    arrivals: () => ledger.arrivals,
    reset() {
      faults.clear()
      ledger.reset()
      limits.reset()
    },
  }
}

/** What Fastify itself refuses (bad JSON, too large), in Google's words; anything else is our own fault: 500. */
function asGoogleError(error: GoogleError | Error): GoogleError {
  if (error instanceof GoogleError) return error
  const status = 'statusCode' in error ? error.statusCode : undefined
  if (status === 413) return invalidArgument(`Request payload size exceeds the limit: ${MAX_REQUEST_BYTES} bytes.`)
  if (status === 400 || status === 415) return invalidArgument('Invalid JSON payload received. Unexpected token.')
  return internalError()
}
