import { once } from 'node:events'
import { redisServerForTest } from '@knowalledge/testing'
import t, { type Test } from 'tap'
import { createQuotaClient } from '../src/index.ts'
import { ask, heldBy, roomy } from './support/contract.ts'
import { patience, patientConnection } from './support/patience.ts'

const reserveCommand = 'knowalledgeQuota-reserveBuffer'

/** A client on a real Redis that notes how many requests each of its calls asks for. */
async function setting(t: Test) {
  const server = await redisServerForTest(t)
  const redis = patientConnection(server)
  await once(redis, 'ready')
  const make = () => createQuotaClient({ redis, pool: 'commit', limits: { ...roomy, rpm: 100 }, ...patience })
  const founder = make() // so that the state is there
  heldBy(await founder.reserve(ask())).release()
  await founder.close()
  const quota = make()
  const commands = redis as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>
  const call = commands[reserveCommand]?.bind(redis)
  const calls: number[] = []
  commands[reserveCommand] = (...args) => {
    const question = args.find((arg) => /^\d+,\d,\d,/.test(String(arg)))
    calls.push(Number(String(question).split(',')[5]))
    return call?.(...args) as Promise<unknown>
  }
  t.teardown(() => quota.close())
  return { quota, calls }
}

t.test('what is asked in one turn travels as one call', async (t) => {
  const { quota, calls } = await setting(t)
  await Promise.all(Array.from({ length: 40 }, () => quota.reserve(ask())))
  t.same(calls, [40])
})

t.test('of a crowd that asks again when it is answered, the first half goes ahead', async (t) => {
  const { quota, calls } = await setting(t)
  const twice = async () => {
    heldBy(await quota.reserve(ask())).release()
    return quota.reserve(ask())
  }
  const verdicts = await Promise.all(Array.from({ length: 60 }, twice))
  t.ok(verdicts.every(({ granted }) => granted))
  t.same(calls, [60, 30, 30])
})

t.test('a crowd is answered in its order, however it travels', async (t) => {
  const { quota } = await setting(t)
  const twice = async () => {
    await quota.reserve(ask())
    return (await quota.reserve(ask())).granted
  }
  const granted = await Promise.all(Array.from({ length: 60 }, twice))
  t.same(granted, [...Array.from({ length: 40 }, () => true), ...Array.from({ length: 20 }, () => false)])
})

t.test('a few that ask again wait for the end of their turn', async (t) => {
  const { quota, calls } = await setting(t)
  const twice = async () => {
    await quota.reserve(ask())
    return quota.reserve(ask())
  }
  await Promise.all(Array.from({ length: 15 }, twice))
  t.same(calls, [15, 15])
})
