/** Refused before any quota is taken. */
const REFUSALS = [
  '429_rpm',
  '429_rpd',
  '429_input_tpm',
  /** The day and the minute at once. */
  '429_rpd_and_rpm',
  '429_bare',
  '429_limit_zero',
  '429_prepay',
  '429_spending_cap',
  '400_invalid_key',
  '400_invalid_argument',
  '400_free_tier',
  '401',
  '403_no_key',
  '403_leaked_key',
  /** The message repeats the caller's key, as Google's does. */
  '403_suspended_key',
  '404',
] as const

/** Fails after the quota was taken. */
const FAILURES = ['500', '503', 'reset', 'reset_mid_body', 'hang'] as const

/** Answers, but badly. */
const CONTENT_FAULTS = [
  'truncated_json',
  'wrong_json',
  'wrong_shape',
  'refusal_text',
  'poor_quality',
  'thought_parts',
  'safety_prompt',
  'safety_candidate',
  'max_tokens',
  'empty_candidates',
  'no_usage',
] as const

export type RefusalKind = (typeof REFUSALS)[number]
export type FailureKind = (typeof FAILURES)[number]
export type ContentFaultKind = (typeof CONTENT_FAULTS)[number]
export type FaultKind = 'delay' | RefusalKind | FailureKind | ContentFaultKind

export const FAULT_KINDS: readonly FaultKind[] = ['delay', ...REFUSALS, ...FAILURES, ...CONTENT_FAULTS]

export function isRefusal(kind: FaultKind): kind is RefusalKind {
  return (REFUSALS as readonly string[]).includes(kind)
}

export function isFailure(kind: FaultKind): kind is FailureKind {
  return (FAILURES as readonly string[]).includes(kind)
}
