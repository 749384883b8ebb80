import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { createLogger } from '../src/index.ts'

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

t.test('an error of Redis is logged without the command, which may hold a whole answer', async (t) => {
  const lines: string[] = []
  const logger = createLogger({ level: 'warn', pretty: false, destination: { write: (line) => lines.push(line) } })
  const error = Object.assign(new Error('OOM command not allowed'), { command: { name: 'set', args: ['answer'] } })
  logger.warn({ err: error }, 'redis unavailable')
  t.match(JSON.parse(lines[0] ?? ''), { err: { message: 'OOM command not allowed', stack: /logger\.test/ } })
  t.notMatch(lines[0], 'answer')
})

const main = new URL('../src/index.ts', import.meta.url)

/** A process that logs to a pipe, as in production. */
function loggingProcessForTest(t: Test, script: string) {
  const source = `import { createLogger } from ${JSON.stringify(main.href)}
const logger = createLogger({ level: 'info', pretty: false })
${script}`
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], { stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => child.kill('SIGKILL'))
  return child
}

t.test('a reader of stdout that has gone does not keep the process from working and ending', async (t) => {
  const child = loggingProcessForTest(
    t,
    `process.on('SIGTERM', () => {
      for (let n = 0; n < 20; n++) logger.info({ padding: 'x'.repeat(1_000) }, 'to nobody')
      process.exit(3)
    })
    setInterval(() => {}, 1_000)
    process.stderr.write('up')`,
  )
  await once(child.stderr, 'data')
  child.stdout.destroy()
  await once(child.stdout, 'close')
  child.kill('SIGTERM')
  t.same(await once(child, 'exit'), [3, null])
})

t.test('every line is out when the process ends, and a warning before that', async (t) => {
  const child = loggingProcessForTest(
    t,
    `for (let n = 0; n < 3; n++) logger.info({ n }, 'line')
    logger.warn('soon')
    process.on('SIGTERM', () => {
      logger.info('last')
      process.exit()
    })
    setInterval(() => {}, 1_000)`,
  )
  const lines: { msg: string }[] = []
  for await (const line of createInterface(child.stdout)) {
    lines.push(JSON.parse(line))
    if (lines.at(-1)?.msg === 'soon') child.kill('SIGTERM')
  }
  t.match(lines, [{ n: 0 }, { n: 1 }, { n: 2 }, { msg: 'soon' }, { msg: 'last' }])
})
