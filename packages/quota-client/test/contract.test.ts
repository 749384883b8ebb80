import { redisServerForTest } from '@knowalledge/testing'
import t from 'tap'
import { createQuotaClient } from '../src/index.ts'
import { quotaContract } from './support/contract.ts'
import { lenientConnection } from './support/requests.ts'

t.test('in memory', async (t) => {
  quotaContract(t, (options) => createQuotaClient({ ...options, pool: 'contract' }))
})

t.test('in Redis', async (t) => {
  const server = await redisServerForTest(t)
  const redis = server.connect(lenientConnection())
  let pools = 0
  quotaContract(t, (options) => createQuotaClient({ ...options, redis, pool: `contract-${pools++}` }))
})
