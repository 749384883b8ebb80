import t from 'tap'
import { createLogger } from '../src/logger.ts'

t.test('credentials are hidden wherever a library may log headers', async (t) => {
  const lines: string[] = []
  const logger = createLogger({ level: 'trace', pretty: false, destination: { write: (line) => lines.push(line) } })
  const headers = {
    authorization: 'secret',
    cookie: 'secret',
    'x-api-key': 'secret',
    'x-goog-api-key': 'secret',
    host: 'shown',
  }
  logger.info(headers, 'at the top')
  logger.info({ headers }, 'one deep')
  logger.info({ options: { headers } }, 'two deep')
  t.equal(lines.length, 3)
  for (const line of lines) {
    t.notMatch(line, 'secret')
    t.match(line, 'shown')
  }
})
