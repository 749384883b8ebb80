import type { TestRedisServer } from '@knowalledge/testing'
import type { Redis } from 'ioredis'
import { quotaRedisOptions } from '../../src/index.ts'

/** For tests that are not about faults: a machine that stalls for 50 ms is none. */
export const patience = { answerWithinMs: 20_000 }

export function patientConnection(server: TestRedisServer): Redis {
  return server.connect({ ...quotaRedisOptions(), commandTimeout: patience.answerWithinMs })
}
