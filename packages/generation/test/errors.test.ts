import t from 'tap'
import { apiError, decodeError, encodeError } from '../src/errors.ts'

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
  t.equal(encodeError(new Error('internal')), undefined)
  for (const nonsense of [undefined, null, 'x', {}, { code: 'nonsense', message: 'y' }]) {
    t.match(decodeError(nonsense), { code: 'internal_error', statusCode: 500 })
  }
})
