import { readFileSync } from 'node:fs'
import type { Redis } from 'ioredis'

const scripts = { Reserve: 3, Settle: 2, Report: 3, 'Report-Tenant': 2, Attend: 3, Pause: 1, Usage: 1 }

/** Makes the scripts on this connection read the time from the key `clock`, in microseconds, instead of Redis's TIME. */
export function useFakeClock(redis: Redis): { set(nowMs: number): Promise<unknown> } {
  for (const [name, numberOfKeys] of Object.entries(scripts)) {
    const read = (file: string) => readFileSync(new URL(`../../lua/${file}.lua`, import.meta.url), 'utf8')
    const text = read('account') + read(name.toLowerCase())
    const lua = text.replace("redis.call('TIME')", "{ 0, redis.call('GET', 'clock') }")
    if (lua === text) throw new Error('the scripts no longer read TIME as this fixture expects')
    redis.defineCommand(`knowalledgeQuota${name.replace('-', '')}`, { lua, numberOfKeys })
  }
  return { set: (nowMs) => redis.set('clock', String(nowMs * 1000)) }
}
