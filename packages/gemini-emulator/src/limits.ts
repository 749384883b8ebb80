import type { QuotaViolation } from './google-errors.ts'
import type { EmulatorLimits, EmulatorOptions } from './types.ts'

export interface LimitVerdict {
  violations: QuotaViolation[]
  /** Until the same call would pass the minute limits; for the day Google names a small, misleading delay too. */
  retryMs: number
}

export type LimitRules = Required<
  Pick<EmulatorOptions, 'windowMs' | 'limitsPer' | 'modelLimits' | 'dayTimeZone' | 'clock'>
>

interface AdmissionLog {
  /** Admitted calls of the last window, oldest first. */
  recent: { atMs: number; inputTokens: number }[]
  day: string
  today: number
}

/** Google's side of the quota, per model or for all together: a sliding-window log, so that it is exact and shares nothing with our client. */
export class Limits {
  readonly #limits: EmulatorLimits
  readonly #modelLimits: LimitRules['modelLimits']
  readonly #windowMs: number
  readonly #perProject: boolean
  readonly #clock: () => number
  readonly #dayFormat: Intl.DateTimeFormat
  readonly #logs = new Map<string, AdmissionLog>()

  constructor(limits: EmulatorLimits, rules: LimitRules) {
    this.#limits = limits
    this.#modelLimits = rules.modelLimits
    this.#windowMs = rules.windowMs
    this.#perProject = rules.limitsPer === 'project'
    this.#clock = rules.clock
    this.#dayFormat = new Intl.DateTimeFormat('en-CA', { timeZone: rules.dayTimeZone, dateStyle: 'short' })
  }

  /** Takes one request with its input tokens, or says which limits refuse it and takes nothing. */
  admit(model: string, inputTokens: number): LimitVerdict | undefined {
    const nowMs = this.#clock()
    const log = this.#logAt(model, nowMs)
    const limits = { ...this.#limits, ...this.#modelLimits[model] }
    const { rpm, inputTpm, rpd } = limits
    const tokens = log.recent.reduce((sum, call) => sum + call.inputTokens, 0)
    const violations: QuotaViolation[] = []
    if (log.today + 1 > rpd) violations.push({ limit: 'rpd', model, value: rpd })
    if (log.recent.length + 1 > rpm) violations.push({ limit: 'rpm', model, value: rpm })
    if (tokens + inputTokens > inputTpm) violations.push({ limit: 'inputTpm', model, value: inputTpm })
    if (violations.length > 0) return { violations, retryMs: this.#retryMs(log, { inputTokens, nowMs, limits }) }
    log.recent.push({ atMs: nowMs, inputTokens })
    log.today += 1
    return undefined
  }

  reset(): void {
    this.#logs.clear()
  }

  #logAt(model: string, nowMs: number): AdmissionLog {
    const day = this.#dayFormat.format(nowMs)
    const account = this.#perProject ? '' : model
    const log = this.#logs.get(account) ?? { recent: [], day, today: 0 }
    this.#logs.set(account, log)
    log.recent = log.recent.filter((call) => call.atMs > nowMs - this.#windowMs)
    if (log.day !== day) Object.assign(log, { day, today: 0 })
    return log
  }

  #retryMs(
    log: AdmissionLog,
    { inputTokens, nowMs, limits }: { inputTokens: number; nowMs: number; limits: EmulatorLimits },
  ): number {
    let count = log.recent.length
    let tokens = log.recent.reduce((sum, call) => sum + call.inputTokens, 0)
    const fits = () => count + 1 <= limits.rpm && tokens + inputTokens <= limits.inputTpm
    for (const call of log.recent) {
      if (fits()) return Math.max(0, call.atMs + this.#windowMs - nowMs)
      count -= 1
      tokens -= call.inputTokens
      if (fits()) return call.atMs + this.#windowMs - nowMs
    }
    return this.#windowMs
  }
}
