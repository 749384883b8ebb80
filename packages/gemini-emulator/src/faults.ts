import { type Random, randomFrom } from './random.ts'
import type { FaultSpec, FaultState, Faults, Task } from './types.ts'

export interface FaultSubject {
  task: Task
  model: string
  system: string
  prompt: string
}

interface ActiveFault {
  state: FaultState
  sinceMs: number
  random: Random
}

/** The faults that are set. `take` is synchronous, so `times: n` serves exactly n calls however many arrive at once. */
export class FaultStore implements Faults {
  readonly #clock: () => number
  #active: ActiveFault[] = []
  #nextId = 1

  /** `clock`: milliseconds since the epoch. */
  constructor(clock: () => number = Date.now) {
    this.#clock = clock
  }

  add(spec: FaultSpec): FaultState {
    if (spec.times !== undefined && spec.share !== undefined) {
      throw new RangeError('a fault has either times or share, not both')
    }
    if (spec.everyMs !== undefined && spec.forMs === undefined) {
      throw new RangeError('a fault with everyMs has forMs, too: how long each wave lasts')
    }
    const state = { ...spec, id: this.#nextId++, served: 0 }
    this.#active.push({ state, sinceMs: this.#clock(), random: randomFrom(`fault ${spec.seed ?? 1}`) })
    return { ...state }
  }

  list(): FaultState[] {
    return this.#active.map(({ state }) => ({ ...state }))
  }

  clear(): void {
    this.#active = []
  }

  /** Every delay that applies, and the first other fault that does. */
  take(subject: FaultSubject): FaultState[] {
    const taken: FaultState[] = []
    for (const { state, sinceMs, random } of this.#active) {
      const alreadyFaulted = taken.some(({ kind }) => kind !== 'delay')
      if (alreadyFaulted && state.kind !== 'delay') continue
      if (!matches(state, subject) || !isOn(state, this.#clock() - sinceMs)) continue
      if (state.times !== undefined && state.served >= state.times) continue
      if (state.share !== undefined && random.next() >= state.share) continue
      state.served += 1
      taken.push({ ...state })
    }
    return taken
  }
}

function isOn(
  { forMs = Number.POSITIVE_INFINITY, everyMs = Number.POSITIVE_INFINITY }: FaultSpec,
  sinceMs: number,
): boolean {
  return sinceMs % everyMs < forMs
}

function matches({ match = {} }: FaultSpec, subject: FaultSubject): boolean {
  if (match.task !== undefined && match.task !== subject.task) return false
  if (match.model !== undefined && match.model !== subject.model) return false
  return match.prompt === undefined || `${subject.system}\n${subject.prompt}`.includes(match.prompt)
}
