import type { Failure } from './outcome.ts'

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

const over: Failure['kind'] = 'over the limit'
const lua = 'lua/quota.lua'
const waitingCalls = 'src/redis/waiting-calls.ts'

export const mutations: Mutation[] = [
  {
    name: 'no check whether Redis is the same',
    file: lua,
    from: 'pool.run ~= run or ',
    to: '',
    kinds: ['failover and back', 'failover and back, unseen'],
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
    file: 'src/redis/member.ts',
    from: 'settings.transitMs},',
    to: '0},',
    kinds: ['bursts', 'drift'],
    shows: over,
  },
  {
    // One second less than the hold has now is no fault that shows: a drift of the 3 % that it has room for is seen as a step.
    name: 'hold one second shorter than the ring',
    file: lua,
    from: 'ringMs * 1.03 + ringMs / SPAN',
    to: 'ringMs - 1000',
    kinds: ['loss when all is used'],
    shows: over,
  },
  {
    name: 'an empty state is used at once',
    file: lua,
    from: 'if mayOpen == 1 and known == 0 then',
    to: 'if true then',
    kinds: ['eviction', 'fleet restarted on an empty Redis', 'empty Redis, only joining members'],
    shows: over,
  },
  {
    name: 'deadline ignored',
    file: 'lua/call.lua',
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
    kinds: ['clock step within the deadline'], // after a larger step the deadline has passed, and the script refuses
    shows: over,
  },
  {
    name: 'bounds of the clock are never used',
    file: 'src/redis/clock-bounds.ts',
    from: 'return known !== undefined',
    to: 'return false',
    kinds: ['large clock step', 'small clock steps'],
    shows: over,
  },
  {
    name: "a step of the own wall clock excuses a step of Redis's",
    file: 'src/redis/clock-bounds.ts',
    from: 'const known = this.#known(atMs)\n',
    to: `const leadMs = this.#runtime.wallMs() - atMs
    const hasMoved = Math.abs(leadMs - Number(Reflect.get(this, 'leadMs') ?? leadMs)) > this.#slackMs
    Reflect.set(this, 'leadMs', leadMs)
    const known = hasMoved ? undefined : this.#known(atMs)
`,
    kinds: ['clock step of the only machine'],
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
    name: 'release applied twice',
    file: lua,
    from: "tonumber(call) > tonumber(redis.call('HGET', KEY, 'call ' .. member) or 0)",
    to: 'true',
    kinds: ['messages duplicated'],
    shows: over,
  },
  {
    name: 'a release is sent again when its outcome is unknown',
    file: 'src/redis/pending.ts',
    from: 'if (adjustment.addTokens > 0) this.#merge(sent.account, charge, { ...adjustment, takeRequests: 0, takeTokens: 0 })',
    to: 'this.#merge(sent.account, charge, { ...adjustment })',
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
    from: 'filter(([, seen]) => seen.dayEndMs >= dayEndMs)',
    to: "filter(([account, seen]) => account === '' && seen.dayEndMs >= dayEndMs)",
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
    from: 'if #kept > 0 and ring ~= pool[RING_MS] then hold(CONFIGURATION, ring) end',
    to: 'if #kept > 0 then pool[RING_MS] = ring end',
    kinds: ['deploy of another window'],
    shows: over,
  },
  {
    name: "the ring has the members' longest window, not their longest transit",
    file: lua,
    from: 'max(longestTransit, itsTransit)',
    to: 'min(500, longestTransit + itsTransit)',
    kinds: ['mixed window and transit'],
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
  {
    name: "a dead instance's calls keep their place and their room",
    file: 'lua/line.lua',
    from: "    if max(silence, waited) > RING_LENGTH / 20 then return 'silent' end\n    return waited > RING_LENGTH / 40 and 'late'",
    to: '    return false',
    kinds: ['crash while calls wait'],
    shows: 'under-used',
  },
  {
    name: 'plain calls overtake those that wait',
    file: lua,
    from: "if lineText ~= '' or kind == 'usage' or redis.call('EXISTS', KEYS[2], KEYS[3]) > 0 then",
    to: "if lineText ~= '' or kind == 'usage' then",
    kinds: ['waiting', 'waiting, in peace'],
    shows: 'overtaken',
  },
  {
    name: 'no start in twenty for batch calls',
    file: 'lua/line.lua',
    from: 'local isTurnOfBatch = head[2] and',
    to: 'local isTurnOfBatch = false and',
    kinds: ['waiting'],
    shows: 'overtaken',
  },
  {
    name: 'batch calls do not draw on their credit',
    file: 'lua/line.lua',
    from: 'credit = credit - ticket.r',
    to: 'credit = credit + 0',
    kinds: ['waiting'],
    shows: 'overtaken',
  },
  {
    name: 'clients take no turns',
    file: 'lua/line.lua',
    from: "ticket.client == '' and 0 or last + 1",
    to: '0',
    kinds: ['waiting'],
    shows: 'overtaken',
  },
  {
    name: 'a line that is lost is not joined again',
    file: waitingCalls,
    from: 'const named = namedIn(group, nowMs)\n    if (named.length',
    to: 'const named = namedIn(group, nowMs).filter(({ isInLine }) => !isInLine)\n    if (group.tickets.size',
    kinds: ['eviction of the lines'],
    shows: 'lost in line',
  },
  {
    name: 'a call that comes during a claim is told with the next heartbeat',
    file: waitingCalls,
    from: 'group.callsAgain = group.isCalling',
    to: 'group.callsAgain = false',
    kinds: ['waiting, in peace'],
    shows: 'told wrong',
  },
  {
    name: 'a heartbeat claims calls that their instance has forgotten',
    file: 'lua/line.lua',
    from: 'local isClaimed = owner == claim.owner and group == claim.group',
    to: 'local isClaimed = owner == claim.owner',
    kinds: ['Redis rolls back'],
    shows: 'no recovery',
  },
]
