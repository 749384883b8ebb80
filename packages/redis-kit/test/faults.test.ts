import t from 'tap'
import { causeOf, redisFaults } from '../src/index.ts'

t.test('an error of Redis says why it cannot be used', async (t) => {
  const cases = {
    'OOM command not allowed': 'full',
    'READONLY You cannot write against a read only replica.': 'read_only',
    'NOREPLICAS Not enough good replicas to write.': 'no_replicas',
    'MISCONF Redis is configured to save RDB snapshots': 'not_persisted',
    'LOADING Redis is loading the dataset in memory': 'error',
    'Command timed out': 'unreachable',
  }
  for (const [message, cause] of Object.entries(cases)) t.equal(causeOf(new Error(message)), cause)
  t.equal(causeOf(undefined), 'unreachable')
})

t.test(
  'the circuit of a process is open while any client is degraded, and each change is logged with its remedy',
  async (t) => {
    const lines: unknown[] = []
    const log = {
      debug() {},
      info: (fields: object) => lines.push(fields),
      warn: (fields: object) => lines.push(fields),
    }
    const faults = redisFaults(log)
    const [quota, cache] = [faults.of('quota'), faults.of('cache')]
    t.equal(faults.circuit(), 'closed')
    quota({ state: 'degraded', reason: 'full' })
    cache({ state: 'degraded', cause: new Error('late') })
    t.same(['quota', 'cache', 'other'].map(faults.causeOf), ['full', 'unreachable', undefined])
    quota({ state: 'recovered' })
    t.equal(faults.circuit(), 'open')
    cache({ state: 'recovered' })
    t.equal(faults.circuit(), 'closed')
    t.match(lines, [
      { part: 'quota', reason: 'full', remedy: /maxmemory/ },
      { part: 'cache', err: { message: 'late' } },
      { part: 'quota' },
      { part: 'cache' },
    ])
  },
)
