import t from 'tap'
import { RememberedLookup } from '../../src/auth/remembered-lookup.ts'
import { clockForTest } from './fixtures.ts'

interface Thing {
  n: number
}

/** A look-up whose answers the test gives, one after another. */
function lookupForTest() {
  const clock = clockForTest()
  const asked: PromiseWithResolvers<Thing | undefined>[] = []
  const lookup = new RememberedLookup<Thing>({
    load: () => {
      const answer = Promise.withResolvers<Thing | undefined>()
      asked.push(answer)
      return answer.promise
    },
    isValid: () => true,
    clock,
  })
  /** Asks, and lets Redis answer the n-th question so. */
  const find = (n: number, answer: Thing | undefined | Error) => {
    const found = lookup.find('id')
    if (answer instanceof Error) asked[n]?.reject(answer)
    else asked[n]?.resolve(answer)
    return found
  }
  return { lookup, clock, asked, find }
}

t.test('what was forgotten while it was being asked for is not remembered', async (t) => {
  const { lookup, asked, find } = lookupForTest()
  const found = lookup.find('id')
  lookup.forget('id')
  asked[0]?.resolve({ n: 0 })
  t.same(await found, { n: 0 })
  t.equal(await find(1, undefined), undefined)
})

t.test('what is not there is asked for each time', async (t) => {
  const { asked, find } = lookupForTest()
  for (const n of [0, 1, 2]) t.equal(await find(n, undefined), undefined)
  t.equal(asked.length, 3)
})

t.test('a clock that is set back makes nothing last longer', async (t) => {
  const { asked, clock, find } = lookupForTest()
  await find(0, { n: 0 })
  clock.nowMs -= 3_600_000
  t.same(await find(1, { n: 1 }), { n: 1 })
  t.equal(asked.length, 2)
})

t.test('while Redis cannot be used, what was found is valid for five minutes, and anything else a 503', async (t) => {
  const { clock, find } = lookupForTest()
  await t.rejects(find(0, new Error('down')), { code: 'service_unavailable' })
  t.same(await find(1, { n: 1 }), { n: 1 })
  clock.nowMs += 5 * 60_000 - 1
  t.same(await find(2, new Error('down')), { n: 1 })
  clock.nowMs += 1
  await t.rejects(find(3, new Error('down')), { code: 'service_unavailable' })
})
