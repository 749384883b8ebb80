import t from 'tap'
import { createLogger } from '../src/logger.ts'

t.test('credentials are hidden where libraries log headers', async (t) => {
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
  logger.info({ busboyOptions: { headers } }, 'two deep')
  logger.info({ req: { headers } }, 'a request')
  t.equal(lines.length, 4)
  for (const line of lines) {
    t.notMatch(line, 'secret')
    t.match(line, 'shown')
  }
})
