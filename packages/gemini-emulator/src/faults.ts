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
  random: Random
}

/** The faults that are set. `take` is synchronous, so `times: n` serves exactly n calls however many arrive at once. */
export class FaultStore implements Faults {
  #active: ActiveFault[] = []
  #nextId = 1

  add(spec: FaultSpec): FaultState {
    if (spec.times !== undefined && spec.share !== undefined) {
      throw new RangeError('a fault has either times or share, not both')
    }
    const state = { ...spec, id: this.#nextId++, served: 0 }
    this.#active.push({ state, random: randomFrom(`fault ${spec.seed ?? 1}`) })
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
    for (const { state, random } of this.#active) {
      const alreadyFaulted = taken.some(({ kind }) => kind !== 'delay')
      if (alreadyFaulted && state.kind !== 'delay') continue
      if (!matches(state, subject)) continue
      if (state.times !== undefined && state.served >= state.times) continue
      if (state.share !== undefined && random.next() >= state.share) continue
      state.served += 1
      taken.push({ ...state })
    }
    return taken
  }
}

function matches({ match = {} }: FaultSpec, subject: FaultSubject): boolean {
  if (match.task !== undefined && match.task !== subject.task) return false
  if (match.model !== undefined && match.model !== subject.model) return false
  return match.prompt === undefined || `${subject.system}\n${subject.prompt}`.includes(match.prompt)
}
