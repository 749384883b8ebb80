import t from 'tap'
import { createLogger } from '../src/index.ts'

function loggerForTest() {
  return createLogger({ level: 'info', pretty: false, destination: { write() {} } })
}

t.test('warnings and errors are kept with their service, kind and remedy; what is less is not', (t) => {
  const logger = loggerForTest()
  const child = logger.child({ service: 'vision' }).child({ request_id: '1' })
  child.info('started')
  child.warn({ kind: 'timeout', reason: 'no answer within 30 s', authorization: 'secret' }, 'Gemini call failed')
  logger.warn({ reason: 'full', remedy: 'Make room.', err: new Error('OOM') }, 'redis unavailable')
  logger.error('a sentence')
  t.match(logger.recentFaults?.all(), [
    { service: 'vision', message: 'Gemini call failed', kind: 'timeout: no answer within 30 s', count: 1 },
    { service: undefined, message: 'redis unavailable', kind: 'full', remedy: 'Make room.' },
    { message: 'a sentence', kind: '', remedy: undefined },
  ])
  t.notMatch(JSON.stringify(logger.recentFaults?.all()), 'secret')
  t.end()
})

t.test('a flood of one fault is one entry and hides no other; the oldest of very many goes', (t) => {
  const logger = loggerForTest()
  logger.warn({ kind: 'first' }, 'a fault')
  for (let n = 0; n < 1_000; n++) logger.warn({ kind: 'flood', reason: `number ${n}` }, 'a fault')
  t.match(logger.recentFaults?.all(), [
    { kind: 'first', count: 1 },
    { kind: 'flood: number 999', count: 1_000 },
  ])
  for (let n = 0; n < 49; n++) logger.warn({ kind: `other ${n}` }, 'a fault')
  const kinds = logger.recentFaults?.all().map(({ kind }) => kind) ?? []
  t.equal(kinds.length, 50)
  t.notOk(kinds.includes('first'))
  t.equal(kinds[0], 'flood: number 999')
  t.end()
})
