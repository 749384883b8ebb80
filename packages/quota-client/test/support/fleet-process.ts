import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { createQuotaClient, quotaRedisOptions } from '../../src/index.ts'
import { ask, roomy } from './contract.ts'
import { patience } from './patience.ts'

// One instance of a fleet, started by a test: `hold` takes six reservations and never settles them; `hammer` asks from
// one time to another and says how many it was granted.
const [play, ...numbers] = process.argv.slice(2)
const [port = 0, windowMs = 0, fromMs = 0, untilMs = 0] = numbers.map(Number)
const redis = new Redis(port, '127.0.0.1', { ...quotaRedisOptions(), commandTimeout: patience.answerWithinMs })
const limits = { ...roomy, rpm: play === 'hold' ? 10 : 100, rpd: 1e6, tpd: 1e9 }
const quota = createQuotaClient({ ...patience, redis, pool: 'fleet', limits, windowMs })

if (play === 'hold') {
  for (let call = 0; call < 6; call++) await quota.reserve(ask({ tokens: 1000 }))
  process.send?.('held')
  await delay(60_000)
} else {
  await delay(fromMs - Date.now())
  let granted = 0
  const strand = async () => {
    for (; Date.now() < untilMs; await delay(1)) if ((await quota.reserve(ask())).granted) granted += 1
  }
  await Promise.all(Array.from({ length: 8 }, strand))
  await quota.close()
  redis.disconnect()
  process.send?.(granted)
}
