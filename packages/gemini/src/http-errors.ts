import { record } from './answer.ts'
import { GeminiError } from './errors.ts'
import { type GoogleFault, readPauseAdvice } from './pause-advice.ts'

/** What an answer other than 200 means for us. `body` must not contain the API key any more. */
export function errorFromStatus(httpStatus: number, body: string): GeminiError {
  const fault = readFault(body)
  const message = `${httpStatus} ${fault.status}: ${fault.message}`.trim()
  if (httpStatus === 429) return new GeminiError('rate_limited', message, { pause: readPauseAdvice(fault) })
  if (httpStatus >= 500) return new GeminiError('unavailable', message, { retryable: true })
  if (httpStatus < 400) return new GeminiError('malformed', `Gemini answered with HTTP ${httpStatus}`)
  if (httpStatus === 404) return new GeminiError('not_found', message)
  return new GeminiError(needsOperator(httpStatus, fault) ? 'not_configured' : 'rejected', message)
}

/** A wrong, missing, leaked or suspended key, or a country without the free tier. */
function needsOperator(httpStatus: number, { status, message, details }: GoogleFault): boolean {
  if (httpStatus === 401 || httpStatus === 403) return true
  if (httpStatus !== 400) return false
  const isKeyInvalid = details.some(({ reason }) => reason === 'API_KEY_INVALID')
  return isKeyInvalid || status === 'FAILED_PRECONDITION' || message.startsWith('API key ')
}

function readFault(body: string): GoogleFault {
  const error = record(record(parse(body)).error)
  return {
    message: typeof error.message === 'string' ? error.message : 'no reason was given',
    status: typeof error.status === 'string' ? error.status : '',
    details: Array.isArray(error.details) ? error.details.map(record) : [],
  }
}

/** Proxies answer in HTML; that is no JSON and no fault of ours. */
function parse(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch {
    return undefined
  }
}
