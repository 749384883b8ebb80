import type { TestRedisServer } from '@knowalledge/testing'

/** Made by a person with `npm run keys`: a hash of all keys, a record of each limited tenant, and of the last 10,000 changes. */
const madeByPeople = /^gateway:(keys$|audit$|tenant:)/

/** Lists every key of a Redis: those that traffic made without an expiry, and how many there are of each kind with how long they last. */
export async function keysWithoutExpiry(
  redis: ReturnType<TestRedisServer['connect']>,
): Promise<{ total: number; found: string[]; kinds: string[] }> {
  const found: string[] = []
  const kinds = new Map<string, { count: number; longestMs: number }>()
  let total = 0
  for await (const keys of redis.scanStream({ count: 500 }) as AsyncIterable<string[]>) {
    for (const key of keys) {
      const leftMs = await redis.pttl(key)
      if (leftMs === -2) continue // gone meanwhile
      total += 1
      if (leftMs === -1 && !madeByPeople.test(key)) found.push(key)
      const kind = key
        .replaceAll(/[0-9a-f]{16,}|[0-9a-f-]{36}|\d+/g, '…')
        .split(':')
        .slice(0, 4)
        .join(':')
        .slice(0, 60)
      const { count, longestMs } = kinds.get(kind) ?? { count: 0, longestMs: 0 }
      kinds.set(kind, { count: count + 1, longestMs: Math.max(longestMs, leftMs) })
    }
  }
  const lines = [...kinds].map(
    ([kind, { count, longestMs }]) => `${count} × ${kind}, gone in ${(longestMs / 3_600_000).toFixed(1)} h at most`,
  )
  return { total, found, kinds: lines }
}
