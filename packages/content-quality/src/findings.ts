import type { QualityIssue, QualityIssueType, QualityReport } from './types.ts'

const issuePenalty = 0.6

/** Gathers what a check finds; the score is 1 minus the penalties, never below 0. */
export class Findings {
  readonly #issues: QualityIssue[] = []
  readonly #warnings: string[] = []
  #penalty = 0

  issue(type: QualityIssueType, message: string): void {
    this.#issues.push({ type, message })
    this.#penalty += issuePenalty
  }

  /** `penalty` is what it takes off the score, 0..1. */
  warn(message: string, penalty: number): void {
    this.#warnings.push(message)
    this.#penalty += penalty
  }

  report(): QualityReport {
    return {
      // Rounded down, so that no complaint is lost; the small amount undoes what binary fractions take off.
      score: Math.floor(Math.max(0, 1 - this.#penalty) * 100 + 1e-9) / 100,
      passed: this.#issues.length === 0,
      issues: this.#issues,
      warnings: this.#warnings,
    }
  }
}
