import { Redis } from 'ioredis'
import { createQuotaClient, quotaRedisOptions } from '../../src/index.ts'
import { patience } from './patience.ts'
import { type Pattern, patternLimits, play, windowMs } from './patterns.ts'

// One instance of a fleet, started by a test: plays all patterns at once, each on a pool of its own, and reports what
// was admitted. Without a port it is a process of its own over the in-memory twin.
const [port, fromMs, untilMs] = process.argv.slice(2).map(Number)
const redis = port
  ? new Redis(port, '127.0.0.1', { ...quotaRedisOptions(), commandTimeout: patience.answerWithinMs })
  : undefined
redis?.on('error', (error) => console.error(error))
const played = await Promise.all(
  Object.entries(patternLimits).map(async ([pattern, limits]) => {
    const quota = createQuotaClient({
      ...patience,
      redis,
      pool: pattern,
      limits,
      windowMs,
      onFault: ({ state, cause }) => console.error(pattern, state, cause),
    })
    await new Promise((start) => setTimeout(start, (fromMs ?? 0) - Date.now()))
    const admissions = await play(quota, pattern as Pattern, untilMs ?? 0)
    await new Promise((settled) => setTimeout(settled, 100))
    await quota.close()
    return [pattern, admissions] as const
  }),
)
redis?.disconnect()
process.send?.(Object.fromEntries(played))
