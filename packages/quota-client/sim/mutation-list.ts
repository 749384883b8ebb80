import type { Failure } from './checks.ts'

/** A deliberate fault: a text of one file, found exactly once, and what replaces it. */
export interface Mutation {
  name: string
  file: string
  from: string
  to: string
  /** The kinds of schedule that are most likely to show it, and what they then show. */
  kinds: string[]
  shows: Failure['kind']
}

const over = 'over the limit'
const lua = 'lua/quota.lua'

export const mutations: Mutation[] = [
  {
    name: 'no run_id check',
    file: lua,
    from: 'pool.run ~= run or ',
    to: '',
    kinds: ['Redis rolls back', 'failover to another clock', 'failover and back'],
    shows: over,
  },
  {
    name: 'an older incarnation is not noticed',
    file: lua,
    from: ' or pool[INCARNATION] < known',
    to: '',
    kinds: ['failover and back'],
    shows: over,
  },
  {
    name: 'ring one bucket short',
    file: 'lua/account.lua',
    from: 'if bucket - at <= SPAN then break end',
    to: 'if bucket - at < SPAN then break end',
    kinds: ['drift', 'bursts'],
    shows: over,
  },
  {
    name: 'ring without the transit of calls',
    file: 'src/client.ts',
    from: 'ringMs: windowMs + transitMs + slackMs',
    to: 'ringMs: windowMs + slackMs',
    kinds: ['bursts', 'drift'],
    shows: over,
  },
  {
    name: 'hold one second short',
    file: lua,
    from: 'ringMs * 1.03 + ringMs / SPAN',
    to: 'ringMs * 1.03 + ringMs / SPAN - 1000',
    kinds: ['drift through a hold'],
    shows: over,
  },
  {
    name: 'an empty state is used at once',
    file: lua,
    from: "if mayOpen == '1' and known == 0 then",
    to: 'if true then',
    kinds: ['eviction', 'fleet restarted on an empty Redis', 'empty Redis, only joining members'],
    shows: over,
  },
  {
    name: 'deadline ignored',
    file: lua,
    from: 'if deadline > 0 and TIME_MS > deadline then',
    to: 'if false then',
    kinds: ['Redis hangs', 'messages duplicated'],
    shows: 'carried out too late',
  },
  {
    name: 'a grant is used after a step',
    file: 'src/redis/batch.ts',
    from: 'else if (!member.mayUseGrants()) this.#denyAll',
    to: 'else if (member.isUnavailable) this.#denyAll',
    kinds: ['large clock step'],
    shows: over,
  },
  {
    name: 'bounds of the clock are never used',
    file: 'src/redis/clock-bounds.ts',
    from: 'const stepped = known !== undefined && (',
    to: 'const stepped = known !== undefined && known.low > known.high && (',
    kinds: ['large clock step', 'small clock steps'],
    shows: over,
  },
  {
    name: 'a joining member uses grants at once',
    file: 'src/redis/member.ts',
    from: 'watchedForMs >= 2 * this.heartbeatMs',
    to: 'watchedForMs >= 0',
    kinds: ['large clock step', 'small clock steps'],
    shows: over,
  },
  {
    name: 'a step is not reported',
    file: 'src/redis/member.ts',
    from: 'doubted: this.#doubted,',
    to: 'doubted: 0,',
    kinds: ['large clock step', 'small clock steps'],
    shows: 'no recovery',
  },
  {
    name: 'release applied twice',
    file: lua,
    from: 'mayTake = same and tonumber(call) >',
    to: 'mayTake = same or tonumber(call) >',
    kinds: ['messages duplicated'],
    shows: over,
  },
  {
    name: 'a release is sent again when its outcome is unknown',
    file: 'src/redis/pending.ts',
    from: '{ ...adjustment, takeRequests: 0, takeTokens: 0 }',
    to: '{ ...adjustment }',
    kinds: ['messages lost'],
    shows: over,
  },
  {
    name: 'overruns are not charged',
    file: 'src/redis/pending.ts',
    from: 'addTokens: Math.max(0, by.tokens)',
    to: 'addTokens: 0',
    kinds: ['settlements'],
    shows: 'overrun not charged',
  },
  {
    name: 'start() ignores age',
    file: 'src/core/store.ts',
    from: 'nowMs - sentMs <= transitMs && ',
    to: '',
    kinds: ['late starts', 'SIGSTOP'],
    shows: over,
  },
  {
    name: 'start() does not notice a paused machine',
    file: 'src/core/store.ts',
    from: ' && Math.abs(runtime.wallMs() - nowMs - leadMs) <= slackMs',
    to: '',
    kinds: ['paused machine'],
    shows: over,
  },
  {
    name: 'statements of days ignored',
    file: lua,
    from: "if knowledge ~= '' and same then",
    to: 'if false then',
    kinds: ['day', 'day, tenants'],
    shows: over,
  },
  {
    name: "tenants' day not restated",
    file: 'src/redis/pending.ts',
    from: 'for (const account of statement?.accounts ?? []) this.#untold.delete(account)',
    to: 'if (statement) this.#untold.clear()',
    kinds: ['day, tenants'],
    shows: over,
  },
  {
    name: 'use that a restart has lost counts for no day',
    file: lua,
    from: 'local unseen = cause == RESTART and',
    to: 'local unseen = cause == LAYOUT and',
    kinds: ['day', 'day, tenants'],
    shows: over,
  },
  {
    name: 'smallest limits ignored',
    file: lua,
    from: 'inForce[at] > 0 and min(list[at], inForce[at]) or list[at]',
    to: 'list[at]',
    kinds: ['deploy of other limits'],
    shows: over,
  },
  {
    name: 'ring length changes without a hold',
    file: lua,
    from: 'if ring > 0 and ring ~= pool[RING_MS] then hold(CONFIGURATION, ring) end',
    to: 'if ring > 0 then pool[RING_MS] = ring end',
    kinds: ['deploy of another window'],
    shows: over,
  },
  {
    name: 'a refused write counts as granted',
    file: lua,
    from: "redis.call('HSET', KEY, unpack(writes))",
    to: "redis.pcall('HSET', KEY, unpack(writes))",
    kinds: ['writes refused'],
    shows: over,
  },
]
