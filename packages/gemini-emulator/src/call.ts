import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Ledger } from './counters.ts'
import { type FailureKind, type FaultKind, isFailure, isRefusal } from './fault-kinds.ts'
import type { FaultStore } from './faults.ts'
import {
  internalError,
  invalidKey,
  missingKey,
  modelNotFound,
  quotaExceeded,
  refusal,
  unavailable,
} from './google-errors.ts'
import type { Limits } from './limits.ts'
import type { EmulatedModel, EmulatorOptions, FaultState, RecordedCall, Task } from './types.ts'

/** What the routes of one emulator share. */
export interface Context {
  readonly options: Required<Pick<EmulatorOptions, 'latencyMs' | 'pictureFormat'>>
  readonly apiKeys: ReadonlySet<string> | undefined
  readonly models: ReadonlyMap<string, EmulatedModel>
  readonly clock: () => number
  readonly limits: Limits
  readonly faults: FaultStore
  readonly ledger: Ledger
  /** Aborted when the emulator closes, so that hanging calls let go. */
  readonly closing: AbortSignal
}

export interface Target {
  version: string
  model: EmulatedModel
  method: string
  apiKey: string
}

export interface CallSubject {
  task: Task
  system: string
  prompt: string
  pictures: { mimeType: string; bytes: Uint8Array }[]
  promptTokens: number
  maxOutputTokens: number | undefined
  thinkingBudget?: number | undefined
  /** Takes quota. countTokens does not. */
  isMetered: boolean
}

/** The client was cut off on purpose; there is nothing to send. */
export class Dropped extends Error {}

/** Finds the key and the model of a call. @throws GoogleError 403 without a key, 400 for a wrong one, 404 for the model */
export function resolveTarget(context: Context, request: FastifyRequest, target: string, version: string): Target {
  const { 'x-goog-api-key': header } = request.headers
  const { key } = request.query as { key?: string }
  const apiKey = String(header ?? key ?? '')
  if (apiKey === '') throw missingKey()
  if (context.apiKeys && !context.apiKeys.has(apiKey)) throw invalidKey()
  const [name = '', method = ''] = target.split(':')
  const model = context.models.get(name)
  if (!model || (method !== '' && !methodsOf(model).includes(method)))
    throw modelNotFound(name, version, method || 'get')
  return { version, model, method, apiKey }
}

export function methodsOf({ kind }: EmulatedModel): string[] {
  return kind === 'imagen' ? ['predict'] : ['generateContent', 'streamGenerateContent', 'countTokens']
}

/** Records the call, serves its faults, takes its quota, and returns the fault that must spoil the answer's content. */
export async function admitCall(
  context: Context,
  { target, subject, reply }: { target: Target; subject: CallSubject; reply: FastifyReply },
): Promise<FaultState | undefined> {
  const { ledger, limits } = context
  const model = target.model.name
  const call = record(context, target, subject)
  watch(context, call, reply)
  const faults = context.faults.take({ ...subject, model })
  for (const fault of faults) {
    call.faults.push(fault.kind)
    ledger.faulted(fault.kind)
    if (fault.kind === 'delay') await pause(reply, fault.delayMs ?? 1000)
  }
  if (subject.isMetered) {
    ledger.arrived({ atMs: context.clock(), task: subject.task, model, inputTokens: subject.promptTokens })
  }
  const fault = faults.find(({ kind }) => kind !== 'delay')
  if (fault && isRefusal(fault.kind)) {
    throw refusal(fault.kind, { ...target, model, retryDelay: fault.retryDelay })
  }
  if (subject.isMetered) {
    const verdict = limits.admit(model, subject.promptTokens)
    if (verdict) {
      ledger.refused(subject.task, model, verdict.violations)
      throw quotaExceeded(verdict.violations, verdict.retryMs / 1000)
    }
    ledger.admitted(subject.task, model)
  }
  if (fault && isFailure(fault.kind)) await fail(context, reply, fault.kind)
  if (context.options.latencyMs > 0) await pause(reply, context.options.latencyMs)
  return fault
}

function record(context: Context, target: Target, subject: CallSubject): RecordedCall {
  const { task, system, prompt, pictures, promptTokens, maxOutputTokens, thinkingBudget } = subject
  return context.ledger.begin({
    atMs: context.clock(),
    task,
    model: target.model.name,
    method: target.method,
    system,
    prompt,
    pictures: pictures.map(({ mimeType, bytes }) => ({ mimeType, byteLength: bytes.byteLength })),
    promptTokens,
    ...(maxOutputTokens !== undefined && { maxOutputTokens }),
    ...(thinkingBudget !== undefined && { thinkingBudget }),
  })
}

/** Counts the call as in flight until its answer is out, and as cancelled when its client leaves before that. */
function watch({ ledger }: Context, call: RecordedCall, reply: FastifyReply): void {
  const leave = ledger.enter()
  const end = (wasAnswered: boolean) => {
    reply.raw.off('finish', onFinish).off('close', onClose)
    leave()
    if (wasAnswered) call.status = reply.raw.statusCode
    else if (!call.faults.some(isCut)) ledger.cancelled()
  }
  const onFinish = () => end(true)
  const onClose = () => end(false)
  reply.raw.on('finish', onFinish).on('close', onClose)
}

/** Waits, but no longer than the client does. */
async function pause(reply: FastifyReply, delayMs: number): Promise<void> {
  const gone = new AbortController()
  const onClose = () => gone.abort()
  reply.raw.once('close', onClose)
  try {
    await sleep(delayMs, undefined, { signal: gone.signal })
  } catch {
    throw new Dropped()
  } finally {
    reply.raw.off('close', onClose)
  }
}

async function fail(context: Context, reply: FastifyReply, kind: FailureKind): Promise<never> {
  if (kind === '500') throw internalError()
  if (kind === '503') throw unavailable()
  if (kind === 'hang') {
    await new Promise<void>((resolve) => {
      reply.raw.once('close', resolve)
      context.closing.addEventListener('abort', () => reply.raw.destroy(), { once: true })
    })
  } else {
    if (kind === 'reset_mid_body') await sendHalf(reply)
    reply.raw.socket?.resetAndDestroy()
  }
  throw new Dropped()
}

/** Headers and the start of a body, on the wire before the connection is cut. */
function sendHalf(reply: FastifyReply): Promise<void> {
  reply.raw.writeHead(200, { 'content-type': 'application/json; charset=UTF-8', 'content-length': '1000' })
  return new Promise((resolve) => reply.raw.write('{"candidates":[{"content":', () => resolve()))
}

function isCut(kind: FaultKind): boolean {
  return kind === 'reset' || kind === 'reset_mid_body'
}
