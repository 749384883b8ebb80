export type QualityIssueType =
  /** Nothing in it that could be read. */
  | 'empty'
  /** The model refused instead of answering. */
  | 'refusal'
  /** The model said that it does not know: "unknown", "n/a". */
  | 'no_answer'
  | 'too_few'
  | 'too_short'
  | 'too_long'
  /** None of the asked-for words in a text of the same language. */
  | 'off_topic'
  /** Most of it is the same sentence again. */
  | 'repetitive'
  /** A sentence where a topic was asked for. */
  | 'sentence'

export interface QualityIssue {
  type: QualityIssueType
  message: string
}

export interface QualityReport {
  /** 0 (useless) to 1 (nothing to complain about), two decimals. */
  score: number
  /** False when there is an issue: not fit to be shown or cached. */
  passed: boolean
  issues: QualityIssue[]
  /** English sentences for a person; each lowers the score. */
  warnings: string[]
}
