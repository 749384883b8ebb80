import type { FaultKind } from './fault-kinds.ts'
import type { QuotaViolation } from './google-errors.ts'
import type { Arrival, EmulatorCounters, RecordedCall, Task } from './types.ts'
import type { UsageMetadata } from './wire.ts'

const MAX_CALLS = 500
const MAX_ARRIVALS = 100_000

/** What the emulator has seen: counters, the last calls, and when each that takes quota came. */
export class Ledger {
  #counters = emptyCounters()
  #calls: RecordedCall[] = []
  #arrivals: Arrival[] = []
  #nextId = 1

  get counters(): EmulatorCounters {
    return structuredClone(this.#counters)
  }

  get calls(): RecordedCall[] {
    return structuredClone(this.#calls)
  }

  get arrivals(): Arrival[] {
    return this.#arrivals.slice(-MAX_ARRIVALS)
  }

  begin(call: Omit<RecordedCall, 'id' | 'faults'>): RecordedCall {
    const recorded: RecordedCall = { ...call, id: this.#nextId++, faults: [] }
    this.#calls.push(recorded)
    if (this.#calls.length > MAX_CALLS) this.#calls.shift()
    return recorded
  }

  arrived(arrival: Arrival): void {
    this.#arrivals.push(arrival)
    if (this.#arrivals.length > 2 * MAX_ARRIVALS) this.#arrivals.splice(0, MAX_ARRIVALS)
  }

  /** One more call in flight; call what is returned once it has ended. */
  enter(): () => void {
    this.#counters.inFlight += 1
    this.#counters.maxInFlight = Math.max(this.#counters.maxInFlight, this.#counters.inFlight)
    return () => {
      this.#counters.inFlight -= 1
    }
  }

  admitted(task: Task, model: string): void {
    this.#counters.admitted += 1
    this.#counters.byTask[task].admitted += 1
    this.#model(model).admitted += 1
  }

  refused(task: Task, model: string, violations: QuotaViolation[]): void {
    for (const { limit } of violations) this.#counters.refused[limit] += 1
    this.#counters.byTask[task].refused += 1
    this.#model(model).refused += 1
  }

  faulted(kind: FaultKind): void {
    this.#counters.faults[kind] = (this.#counters.faults[kind] ?? 0) + 1
  }

  cancelled(): void {
    this.#counters.cancelled += 1
  }

  spent(usage: UsageMetadata): void {
    const { tokens } = this.#counters
    tokens.prompt += usage.promptTokenCount ?? 0
    tokens.candidates += usage.candidatesTokenCount ?? 0
    tokens.thoughts += usage.thoughtsTokenCount ?? 0
    tokens.total += usage.totalTokenCount ?? 0
  }

  /** Calls still in flight stay counted as such. */
  reset(): void {
    const { inFlight } = this.#counters
    this.#counters = { ...emptyCounters(), inFlight, maxInFlight: inFlight }
    this.#calls = []
    this.#arrivals = []
  }

  #model(model: string) {
    const entry = this.#counters.byModel[model] ?? { admitted: 0, refused: 0 }
    this.#counters.byModel[model] = entry
    return entry
  }
}

function emptyCounters(): EmulatorCounters {
  const perTask = () => ({ admitted: 0, refused: 0 })
  return {
    admitted: 0,
    refused: { rpm: 0, inputTpm: 0, rpd: 0 },
    byTask: { text: perTask(), vision: perTask(), image: perTask(), count_tokens: perTask() },
    byModel: {},
    faults: {},
    inFlight: 0,
    maxInFlight: 0,
    cancelled: 0,
    tokens: { prompt: 0, candidates: 0, thoughts: 0, total: 0 },
  }
}
