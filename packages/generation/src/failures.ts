import type { GeminiError } from '@knowalledge/gemini'
import type { HoldCause, LimitType, QuotaClient, Refused, Tenant } from '@knowalledge/quota-client'
import { type ErrorDetails, HttpError } from '@knowalledge/service-kit'
import { type ApiErrorName, apiError, ModelError } from './errors.ts'
import type { ClientRefused } from './types.ts'

/** The error for a client when Gemini failed. Internals stay in `cause`, for the log. */
export function geminiFailure(error: GeminiError): HttpError {
  const [code, message] = geminiMessages[error.kind]
  if (isOfModel(error)) return new ModelError('model', code, message, { cause: error })
  return apiError(code, message, { cause: error })
}

/** 5xx and resets, no access to the model, and no such model. A host that cannot be reached is the same for each of them. */
function isOfModel({ kind, retryable }: GeminiError): boolean {
  return retryable || kind === 'rate_limited' || kind === 'not_found'
}

const geminiMessages: Record<GeminiError['kind'], [ApiErrorName, string]> = {
  not_configured: [
    'gemini_not_configured',
    'The AI service is not set up: its Gemini API key is missing or not accepted. Tell the operator.',
  ],
  rate_limited: [
    'gemini_not_configured',
    'The Gemini project has no quota for this model: waiting will not help. Tell the operator.',
  ],
  rejected: [
    'gemini_bad_answer',
    'Gemini did not accept the request. Tell the operator: the configured model may be wrong.',
  ],
  not_found: [
    'gemini_bad_answer',
    'Gemini did not accept the request. Tell the operator: the configured model may be wrong.',
  ],
  blocked: [
    'content_blocked',
    "Gemini's safety filters refused this content. Put it in other words or choose something else.",
  ],
  malformed: ['gemini_bad_answer', 'Gemini gave an answer that cannot be used. Try again.'],
  cut_off: ['gemini_bad_answer', 'Gemini gave an answer that cannot be used. Try again.'],
  unavailable: ['gemini_unavailable', 'Gemini cannot be reached right now. Try again in a minute.'],
  timeout: ['timeout', 'Gemini took too long to answer. Try again.'],
  cancelled: ['timeout', 'The request was given up before Gemini answered. Try again.'],
}

export function unusableAnswer(cause: unknown): HttpError {
  return apiError('gemini_bad_answer', 'Gemini gave an answer that cannot be used. Try again.', { cause })
}

export function tookTooLong(cause: unknown): HttpError {
  return apiError('timeout', 'It took too long to get an answer. Try again.', { cause })
}

/** Length of the pause after a 429 that waiting does not cure: spent credits, a tier without access. */
const terminalPauseMs = 60_000

/** Turns a 429 of Gemini into a pause of all instances, and into the error for this client. */
export async function pauseAll(error: GeminiError, quota: Pick<QuotaClient, 'pause' | 'usage'>): Promise<HttpError> {
  const { limitType = 'upstream', delayMs, untilDayEnds, terminal } = error.pause ?? {}
  const pauseMs = terminal ? terminalPauseMs : untilDayEnds ? undefined : delayMs
  // Without a delay the quota client decides: until the day ends for a day's limit, shortly for another one.
  await quota.pause({ limitType, untilMs: pauseMs === undefined ? undefined : Date.now() + pauseMs })
  if (terminal) return geminiFailure(error)
  const { pause } = await quota.usage()
  const retryAfterMs = pauseMs ?? Math.max(0, (pause?.untilMs ?? 0) - Date.now())
  return quotaRefusal({ reason: 'paused', limitType, limit: 0, retryAfterMs })
}

const holdReasons: Record<HoldCause, string> = {
  empty: 'there is no record of the last minute yet',
  restart: 'the record of the last minute was restarted',
  clock: 'a clock was changed',
  configuration: 'the quota was configured anew',
}

/** The error for a client when the shared quota refuses. */
export function quotaRefusal(refused: Omit<Refused, 'granted' | 'degraded'> | ClientRefused): HttpError {
  if (refused.reason === 'client') return clientRefusal(refused)
  const refusal = refusalOf(refused)
  return isOfPool(refused) ? new ModelError('pool', ...refusal) : apiError(...refusal)
}

/** A tenant's own limit is kept in every pool, and Redis is one for all of them: then another model would not help. */
function isOfPool({ reason, tenant }: Pick<Refused, 'reason' | 'tenant'>): boolean {
  return reason !== 'unavailable' && tenant === undefined
}

function refusalOf(refused: Omit<Refused, 'granted' | 'degraded'>): [ApiErrorName, string, ErrorDetails] {
  const { reason, limitType, limit, retryAfterMs, tenant, cause } = refused
  const whose = tenant === undefined ? {} : { tenant }
  const ofTenant = tenant === undefined ? '' : ` of ${tenant}`
  if (reason === 'too_large') {
    const message = `This request can never fit the quota${ofTenant}: ${limitText(limitType, limit)}.`
    return ['quota_exceeded', message, { fields: { limit_type: limitType, ...whose } }]
  }
  const { seconds, ...retry } = waitOf(retryAfterMs)
  if (reason === 'unavailable')
    return ['quota_unavailable', `New answers are not available right now. Try again in ${seconds} s.`, retry]
  if (reason === 'hold') {
    const message = `New answers are on hold for ${seconds} s: ${holdReasons[cause as HoldCause]}. Try again then.`
    return ['quota_unavailable', message, retry]
  }
  const message =
    limitType === 'upstream' || reason === 'paused'
      ? 'Gemini asked for a pause'
      : `${limitType.toUpperCase()} limit${ofTenant} exceeded (${limit} ${period(limitType)})`
  return ['quota_exceeded', message, { ...retry, fields: { limit_type: limitType, ...retry.fields, ...whose } }]
}

function clientRefusal({ places, retryAfterMs }: ClientRefused): HttpError {
  const { seconds, ...retry } = waitOf(retryAfterMs)
  const why = places
    ? `This client or its address has ${places} calls in line already, as many as it may have.`
    : 'This client has used its share of new answers, and others are asking.'
  const message = `${why} Try again in ${seconds} s.`
  return new ModelError('pool', 'quota_exceeded', message, {
    ...retry,
    fields: { limit_type: 'client', ...retry.fields },
  })
}

function waitOf(retryAfterMs: number) {
  const seconds = Math.max(1, Math.ceil(retryAfterMs / 1000))
  const fields = { retry_after: `${seconds} ${seconds === 1 ? 'second' : 'seconds'}` }
  return { seconds, fields, retryAfterSeconds: seconds }
}

/** A presentation whose new explanations exceed what batch calls may ever take at once. */
export function presentationTooLarge(asked: number, refused: Refused, tokensEach: number): HttpError {
  const perCall = refused.limitType.startsWith('tp') ? tokensEach : 1
  const fit = Math.floor(refused.limit / perCall)
  const { tenant } = refused
  const quota = `the quota${tenant === undefined ? '' : ` of ${tenant}`}`
  const message = `focus asks for ${asked} new explanations at once, and at most ${fit} fit ${quota} (${limitText(refused.limitType, refused.limit)} for presentations). Ask for at most ${fit}.`
  return tenant === undefined
    ? new ModelError('pool', 'presentation_too_large', message)
    : apiError('presentation_too_large', message, { fields: { tenant } })
}

/** What "Try again in a minute" means. */
const unavailableSeconds = 60

/** Of the failures of a chain's models: the one that may end first, which is when the same request may be answered. */
export function soonestOf(failures: readonly HttpError[]): HttpError {
  const secondsOf = ({
    code,
    retryAfterSeconds = code === 'gemini_unavailable' ? unavailableSeconds : Infinity,
  }: HttpError) => retryAfterSeconds
  return failures.reduce((soonest, failure) => (secondsOf(failure) < secondsOf(soonest) ? failure : soonest))
}

/** The error for a request that does not wait, or not for so long, when the same one of another client waits in line. */
export function sameRequestWaits(startsInMs: number): HttpError {
  const { seconds, ...retry } = waitOf(startsInMs)
  const message = `The same request of another client waits in line. Try again in ${seconds} s.`
  return new ModelError('pool', 'quota_exceeded', message, { ...retry, fields: { limit_type: 'rpm', ...retry.fields } })
}

const refusals = new Set(['quota_exceeded', 'quota_unavailable', 'presentation_too_large'])

/** True when quota was refused; the request itself is valid. */
export function isRefusal(error: unknown): boolean {
  return error instanceof HttpError && refusals.has(error.code)
}

/** True for a refusal by the limits of another tenant than this client's, or, of a call that it waited for, by another's share. */
export function isOfAnotherClient(error: unknown, own: Tenant | undefined, hasWaited: boolean): boolean {
  if (!(error instanceof HttpError)) return false
  const { tenant, limit_type } = error.fields
  if (limit_type === 'client') return hasWaited
  return tenant !== undefined && tenant !== own?.id
}

function limitText(limitType: Refused['limitType'], limit: number): string {
  const unit = limitType.startsWith('tp') ? 'tokens' : 'requests'
  return `${Math.floor(limit)} ${unit} ${limitType === 'upstream' ? '' : period(limitType)}`.trim()
}

function period(limitType: LimitType | 'upstream'): string {
  return limitType === 'rpd' || limitType === 'tpd' ? 'per day' : 'per minute'
}
