import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import type { FaultKind } from './fault-kinds.ts'

export interface EmulatorLimits {
  /** Requests in any `windowMs`. */
  rpm: number
  /** Input tokens in any `windowMs`. */
  inputTpm: number
  /** Requests in a calendar day of `dayTimeZone`. */
  rpd: number
}

export interface EmulatorOptions {
  /** Defaults 15, 1,000,000 and 1,500; Infinity switches one off. */
  limits?: Partial<EmulatorLimits>
  /** Limits of single models, where they are others. 0: the project has no access to it. */
  modelLimits?: Readonly<Record<string, Partial<EmulatorLimits>>>
  /** Length of Google's minute in milliseconds. Default 60,000; tests scale it down. */
  windowMs?: number
  /** Whether each model has the limits for itself, as Google's have, or all of them together. Default model. */
  limitsPer?: 'model' | 'project'
  /** IANA zone whose midnight ends the day. Default America/Los_Angeles. */
  dayTimeZone?: string
  /** Keys that are good; others get 400 API_KEY_INVALID. Default: any non-empty key. */
  apiKeys?: string[]
  /** Milliseconds since the epoch, for the limits. Default Date.now. */
  clock?: () => number
  /** Time an answer takes at least. Default 0. */
  latencyMs?: number
  models?: EmulatedModel[]
  /** Format of drawn pictures. `mixed` chooses by the prompt. Default png. */
  pictureFormat?: 'png' | 'jpeg' | 'mixed'
  logger?: FastifyServerOptions['logger']
}

export interface EmulatedModel {
  name: string
  /** What `modelVersion` says; Google reroutes old names silently. Default: the name. */
  version?: string
  kind: 'text' | 'image' | 'imagen'
}

export type Task = 'text' | 'vision' | 'image' | 'count_tokens'

export interface FaultMatch {
  task?: Task
  model?: string
  /** Found in the prompt or the system instruction. */
  prompt?: string
}

/** Without `times` and `share` it serves every call until it is cleared. */
export interface FaultSpec {
  kind: FaultKind
  /** For the next n calls that match. */
  times?: number
  /** For a share of the calls that match, 0..1, seeded. */
  share?: number
  seed?: number
  /** Only for so many milliseconds after it was set; with `everyMs` again and again: waves. */
  forMs?: number
  everyMs?: number
  match?: FaultMatch
  /** For `delay`. */
  delayMs?: number
  /** For 429 of a minute or a day, as RetryInfo writes it: `34s`, `1.5s`. */
  retryDelay?: string
  /** For `safety_prompt` and `safety_candidate`: the blockReason or finishReason. */
  reason?: string
}

export interface FaultState extends FaultSpec {
  id: number
  /** Calls it has served. */
  served: number
}

export interface Faults {
  add(spec: FaultSpec): FaultState
  list(): FaultState[]
  clear(): void
}

export interface EmulatorCounters {
  admitted: number
  /** By the emulator's own limits; a 429 set as a fault is counted in `faults`. */
  refused: { rpm: number; inputTpm: number; rpd: number }
  byTask: Record<Task, { admitted: number; refused: number }>
  byModel: Record<string, { admitted: number; refused: number }>
  /** Calls served by each kind of fault. */
  faults: Record<string, number>
  inFlight: number
  maxInFlight: number
  /** Calls whose client went away before the answer. */
  cancelled: number
  tokens: { prompt: number; candidates: number; thoughts: number; total: number }
}

export interface RecordedCall {
  id: number
  /** By the emulator's clock. */
  atMs: number
  task: Task
  model: string
  method: string
  system: string
  prompt: string
  pictures: { mimeType: string; byteLength: number }[]
  promptTokens: number
  maxOutputTokens?: number
  thinkingBudget?: number
  /** Faults that served it. */
  faults: FaultKind[]
  /** Absent while in flight, and for a call without an answer. */
  status?: number
}

/** One call that would take quota, by the time of its arrival: what an independent judge of our limits goes by. */
export interface Arrival {
  /** By the emulator's clock. */
  atMs: number
  task: Task
  model: string
  inputTokens: number
}

/** Steers a running emulator from the same process; `/emulator/*` does the same over HTTP. */
export interface EmulatorHandle {
  faults: Faults
  counters(): EmulatorCounters
  /** The last calls, oldest first, at most 500. Keys are never kept. */
  calls(): RecordedCall[]
  /** Every call that would take quota, admitted, refused or faulted, in the order of arrival; the last 100,000. */
  arrivals(): Arrival[]
  /** Forgets faults, counters, calls, arrivals and what the limits have seen. */
  reset(): void
}

export type Emulator = FastifyInstance & { emulator: EmulatorHandle }
