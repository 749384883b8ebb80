import { LRUCache } from 'lru-cache'
import type { Logger as PinoLogger } from 'pino'

/** Warnings and errors that say the same, as one. */
export interface Fault {
  service: string | undefined
  message: string
  /** Which kind of it, such as `timeout` or `read_only`; empty when the message says all. */
  kind: string
  /** What an operator can do, where the log line says it. */
  remedy: string | undefined
  count: number
  /** Milliseconds since the epoch, of the last one. */
  atMs: number
}

const maxFaults = 50
const maxLength = 300

/** The last faults that a process has logged, newest last: 50 different ones, so that a flood of one hides no other. */
export class RecentFaults {
  readonly #faults = new LRUCache<string, Fault>({ max: maxFaults })

  /** `line`: the arguments of the logger's method. */
  add(logger: PinoLogger, line: readonly unknown[]): void {
    const [fields, text] = typeof line[0] === 'object' ? [line[0], line[1]] : [{}, line[0]]
    const { kind, cause, reason, remedy } = { ...fields } as Record<string, unknown>
    const message = shown(text)
    const details = [kind, cause, reason].filter((detail) => typeof detail === 'string').map(shown)
    const { service } = logger.bindings()
    const key = JSON.stringify([service, message, details[0]])
    const count = (this.#faults.get(key)?.count ?? 0) + 1
    const fault = { service, message, kind: details.join(': '), count, atMs: Date.now() }
    this.#faults.set(key, { ...fault, remedy: typeof remedy === 'string' ? remedy : undefined })
  }

  all(): Fault[] {
    return [...this.#faults.values()].reverse()
  }
}

function shown(text: unknown): string {
  return String(text).slice(0, maxLength)
}
