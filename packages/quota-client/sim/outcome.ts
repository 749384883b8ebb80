export interface Failure {
  kind:
    | 'over the limit'
    | 'overrun not charged'
    | 'carried out too late'
    | 'no recovery'
    | 'under-used'
    | 'hold without a cause'
    | 'no answer'
    | 'lost in line'
    | 'overtaken'
    | 'told wrong'
  atMs: number
  text: string
}

export interface Checked {
  failures: Failure[]
  /** Most that was counted in one window or day, as a share of its limit. */
  worst: number
  used: number
  holds: number
  longestGapMs: number
}

export interface Outcome extends Checked {
  scriptCalls: number
  /** Members at the end. */
  living: number
  timeline: string[]
}
