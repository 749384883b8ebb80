import { readFileSync } from 'node:fs'
import type { Cluster, Redis } from 'ioredis'

export type Turn =
  | { kind: 'lead' }
  | { kind: 'changed' }
  | { kind: 'wait'; owner: string }
  | { kind: 'outcome'; text: string }

export interface Renewal {
  owned: boolean
  /** How many elsewhere in the fleet wait for this production. */
  interest: number
}

export type Finish = 'done' | 'lost' | 'wanted'

/** The four keys of one cached answer; they share a hash tag, so Redis Cluster keeps them together. */
export interface AnswerKeys {
  value: string
  lease: string
  waiters: string
  outcome: string
}

/** What lua/*.lua do, with named arguments in and checked values out. Nothing else registers or calls a script. */
export interface Scripts {
  claim(keys: AnswerKeys, step: ClaimStep): Promise<Turn>
  renew(keys: AnswerKeys, hold: { token: string; leaseMs: number }): Promise<Renewal>
  finish(keys: AnswerKeys, end: FinishStep): Promise<Finish>
  release(keys: AnswerKeys, step: ReleaseStep): Promise<boolean>
  invalidate(tagsKey: string, step: InvalidateStep): Promise<void>
  incarnation(tagsKey: string, step: { id: string; keptMs: number }): Promise<string>
  admit(largeKey: string, step: AdmitStep): Promise<string[]>
}

export interface ClaimStep {
  token: string
  leaseMs: number
  seenHeader: string
  awaitedToken: string
  waiterMs: number
}

export interface FinishStep {
  token: string
  value: string
  valueMs: number
  outcome: string
  outcomeMs: number
  channel: string
  message: string
}

export interface ReleaseStep {
  token: string
  force: boolean
  channel: string
  message: string
}

export interface InvalidateStep {
  tag: string
  generation: string
  keptMs: number
  maxTags: number
  channel: string
  message: string
}

export interface AdmitStep {
  key: string
  bytes: number
  maxValues: number
  maxBytes: number
  keptMs: number
}

const KEY_COUNTS = { claim: 4, renew: 2, finish: 4, release: 2, invalidate: 1, incarnation: 1, admit: 1 } as const
type ScriptName = keyof typeof KEY_COUNTS

/** Registers the scripts on the connection, under names of their own; ioredis loads them again after a Redis restart. */
export function defineScripts(redis: Redis | Cluster): Scripts {
  for (const [name, numberOfKeys] of Object.entries(KEY_COUNTS)) {
    const lua = readFileSync(new URL(`../lua/${name}.lua`, import.meta.url), 'utf8')
    redis.defineCommand(commandName(name), { numberOfKeys, lua })
  }
  // defineCommand adds methods that the type of the connection cannot know.
  const commands = redis as unknown as Record<string, (...keysAndArguments: (string | number)[]) => Promise<unknown>>
  const call = async (name: ScriptName, ...keysAndArguments: (string | number)[]): Promise<unknown> => {
    const command = commands[commandName(name)]
    if (!command) throw new Error(`The script ${name} is not defined`)
    return command.apply(redis, keysAndArguments)
  }
  return {
    async claim({ value, lease, waiters, outcome }, { token, leaseMs, seenHeader, awaitedToken, waiterMs }) {
      const step = [token, leaseMs, seenHeader, awaitedToken, waiterMs]
      return turnFrom(await call('claim', value, lease, waiters, outcome, ...step))
    },
    async renew({ lease, waiters }, { token, leaseMs }) {
      return renewalFrom(await call('renew', lease, waiters, token, leaseMs))
    },
    async finish({ value, lease, waiters, outcome }, end) {
      const step = [end.token, end.value, end.valueMs, end.outcome, end.outcomeMs, end.channel, end.message]
      return finishFrom(await call('finish', value, lease, waiters, outcome, ...step))
    },
    async release({ lease, waiters }, { token, force, channel, message }) {
      return (await call('release', lease, waiters, token, force ? '1' : '0', channel, message)) === 1
    },
    async invalidate(tagsKey, { tag, generation, keptMs, maxTags, channel, message }) {
      await call('invalidate', tagsKey, tag, generation, keptMs, maxTags, channel, message)
    },
    async incarnation(tagsKey, { id, keptMs }) {
      const reply = await call('incarnation', tagsKey, id, keptMs)
      if (typeof reply !== 'string') throw unexpected('incarnation', reply)
      return reply
    },
    async admit(largeKey, { key, bytes, maxValues, maxBytes, keptMs }) {
      const reply = await call('admit', largeKey, key, bytes, maxValues, maxBytes, keptMs)
      if (!Array.isArray(reply)) throw unexpected('admit', reply)
      return reply.map(String)
    },
  }
}

function commandName(name: string): string {
  return `responseCache${name[0]?.toUpperCase()}${name.slice(1)}`
}

function turnFrom(reply: unknown): Turn {
  const [kind, text] = Array.isArray(reply) ? reply : []
  if (kind === 'lead' || kind === 'changed') return { kind }
  if (kind === 'wait' && typeof text === 'string') return { kind, owner: text }
  if (kind === 'outcome' && typeof text === 'string') return { kind, text }
  throw unexpected('claim', reply)
}

function renewalFrom(reply: unknown): Renewal {
  const [owned, interest] = Array.isArray(reply) ? reply : []
  if (typeof owned !== 'number' || typeof interest !== 'number') throw unexpected('renew', reply)
  return { owned: owned === 1, interest }
}

function finishFrom(reply: unknown): Finish {
  if (reply === 'done' || reply === 'lost' || reply === 'wanted') return reply
  throw unexpected('finish', reply)
}

function unexpected(name: ScriptName, reply: unknown): Error {
  return new Error(`The script ${name} replied ${JSON.stringify(reply)}`)
}
