import type { QualityIssue, QualityIssueType, QualityReport } from './types.ts'

const issuePenalty = 0.6

/** Collects what a check finds; the score is 1 minus the penalties, never below 0. */
export class Findings {
  readonly #issues: QualityIssue[] = []
  readonly #warnings: string[] = []
  #penalty = 0

  issue(type: QualityIssueType, message: string): void {
    this.#issues.push({ type, message })
    this.#penalty += issuePenalty
  }

  /** `penalty` (0..1) is subtracted from the score. */
  warn(message: string, penalty: number): void {
    this.#warnings.push(message)
    this.#penalty += penalty
  }

  report(): QualityReport {
    return {
      // Rounded down, so that every warning lowers the score; the small amount corrects the error of binary fractions.
      score: Math.floor(Math.max(0, 1 - this.#penalty) * 100 + 1e-9) / 100,
      passed: this.#issues.length === 0,
      issues: this.#issues,
      warnings: this.#warnings,
    }
  }
}
