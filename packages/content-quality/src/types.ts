export type QualityIssueType =
  /** Without a letter or digit. */
  | 'empty'
  /** The model refused instead of answering. */
  | 'refusal'
  /** The model said that it does not know: "unknown", "n/a". */
  | 'no_answer'
  | 'too_few'
  | 'too_short'
  | 'too_long'
  /** No word of the topic or subtopic, in a text of the same language. */
  | 'off_topic'
  /** Half or more of the sentences repeat others. */
  | 'repetitive'
  /** A sentence instead of a topic. */
  | 'sentence'

export interface QualityIssue {
  type: QualityIssueType
  message: string
}

export interface QualityReport {
  /** 0 (useless) to 1 (no issues and no warnings), two decimals. */
  score: number
  /** False when there is an issue: not fit to be shown or cached. */
  passed: boolean
  issues: QualityIssue[]
  /** English sentences for a person; each lowers the score. */
  warnings: string[]
}
