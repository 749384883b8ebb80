import t from 'tap'
import { apiError, decodeError, encodeError, ModelError } from '../src/errors.ts'

t.test('an error travels between processes as JSON and arrives as what it was', async (t) => {
  const sent = apiError('quota_exceeded', 'x', { fields: { limit_type: 'rpm' }, retryAfterSeconds: 3 })
  const arrived = decodeError(JSON.parse(JSON.stringify(encodeError(sent))))
  t.match(arrived, {
    code: 'quota_exceeded',
    statusCode: 429,
    message: 'x',
    fields: { limit_type: 'rpm' },
    retryAfterSeconds: 3,
  })
  t.notOk(arrived instanceof ModelError)
  for (const part of ['model', 'pool'] as const) {
    const encoded = encodeError(new ModelError(part, 'gemini_unavailable', 'y'))
    const failure = decodeError(JSON.parse(JSON.stringify(encoded)))
    t.ok(failure instanceof ModelError, 'those who wait in other processes go on to the next model, too')
    t.match(failure, { of: part, code: 'gemini_unavailable', statusCode: 503 })
  }
  t.equal(encodeError(new Error('internal')), undefined)
  for (const nonsense of [undefined, null, 'x', {}, { code: 'nonsense', message: 'y' }]) {
    t.match(decodeError(nonsense), { code: 'internal_error', statusCode: 500 })
  }
})
