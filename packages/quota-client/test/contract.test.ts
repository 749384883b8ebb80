import { redisServerForTest } from '@knowalledge/testing'
import t from 'tap'
import { createQuotaClient } from '../src/index.ts'
import { quotaContract } from './support/contract.ts'
import { patience, patientConnection } from './support/patience.ts'

t.test('in memory', async (t) => {
  quotaContract(t, (options) => createQuotaClient({ ...options, pool: 'contract' }))
})

t.test('in Redis', async (t) => {
  const server = await redisServerForTest(t)
  const redis = patientConnection(server)
  let pools = 0
  quotaContract(t, (options) => {
    const quota = createQuotaClient({ ...patience, ...options, redis, pool: `contract-${pools++}` })
    t.teardown(() => quota.close())
    return quota
  })
})
