import t from 'tap'
import { Semaphore } from '../src/semaphore.ts'

const never = new AbortController().signal

t.test('admits in order of arrival, so that a large request does not starve behind small ones', async (t) => {
  const semaphore = new Semaphore(10)
  const admitted: string[] = []
  const acquire = (name: string, units: number) => semaphore.acquire(units, never).then(() => admitted.push(name))
  await acquire('first', 6)
  const large = acquire('large', 8)
  const small = acquire('small', 2)
  t.notOk(semaphore.tryAcquire(1), 'nobody overtakes a waiter')
  semaphore.release(6)
  await Promise.all([large, small])
  t.same(admitted, ['first', 'large', 'small'])
  t.equal(semaphore.held, 10)
})

t.test('a waiter whose signal aborts leaves the line, and those behind it move up', async (t) => {
  const semaphore = new Semaphore(10)
  await semaphore.acquire(6, never)
  const leaving = new AbortController()
  const large = semaphore.acquire(8, leaving.signal)
  const small = semaphore.acquire(4, never)
  leaving.abort(new Error('left'))
  await t.rejects(large, { message: 'left' })
  await small
  t.equal(semaphore.held, 10)
  await t.rejects(
    semaphore.acquire(1, leaving.signal),
    { message: 'left' },
    'nor does one whose signal has aborted wait',
  )
  semaphore.release(10)
  leaving.abort()
  t.equal(semaphore.held, 0, 'what was admitted is not taken back')
})
