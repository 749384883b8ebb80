import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { redisOptions } from '@knowalledge/redis-kit'
import { Redis } from 'ioredis'
import { createQuotaClient } from '../../src/index.ts'
import { minute, type Pattern, patternLimits, play } from './patterns.ts'

// One instance of a fleet, started by a test: plays all patterns at once, each on a pool of its own, and reports what
// was admitted. Without a port it is a process of its own over the store in memory.
const port = Number(process.argv[2])
const redis = port ? new Redis(port, '127.0.0.1', redisOptions()) : undefined
redis?.on('error', (error) => console.error(error))
process.send?.('ready')
const [{ fromMs, untilMs }] = await once(process, 'message')
const played = await Promise.all(
  Object.entries(patternLimits).map(async ([pattern, limits]) => {
    const quota = createQuotaClient({ redis, pool: pattern, limits, ...minute, newPool: 'open' })
    await delay(fromMs - Date.now())
    const admissions = await play(quota, pattern as Pattern, untilMs)
    await delay(100)
    await quota.close()
    return [pattern, admissions] as const
  }),
)
redis?.disconnect()
process.send?.(Object.fromEntries(played), () => process.disconnect())
