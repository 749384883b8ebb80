import { readFileSync } from 'node:fs'
import { defineScript, type RedisConnection } from '@knowalledge/redis-kit'

export type Turn =
  /** `isForeign`: a text that is not ours lies under the key. */
  | { kind: 'lead'; isForeign?: boolean }
  /** `value`: what lies there; undefined when it is large or not ours. */
  | { kind: 'changed'; value: string | undefined }
  | { kind: 'wait'; owner: string; progress: string }
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
  renew(keys: AnswerKeys, hold: { token: string; leaseMs: number; progress: string }): Promise<Renewal>
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

/** Registers the scripts on the connection, under names of their own; ioredis loads them again after a Redis restart. */
export function defineScripts(redis: RedisConnection): Scripts {
  const define = (name: string, numberOfKeys: number) => {
    const lua = readFileSync(new URL(`../lua/${name}.lua`, import.meta.url), 'utf8')
    return defineScript(redis, { name: `responseCache:${name}`, lua, numberOfKeys })
  }
  const [claim, renew, finish] = [define('claim', 4), define('renew', 3), define('finish', 4)]
  const [release, invalidate] = [define('release', 2), define('invalidate', 1)]
  const [incarnation, admit] = [define('incarnation', 1), define('admit', 1)]
  return {
    async claim({ value, lease, waiters, outcome }, { token, leaseMs, seenHeader, awaitedToken, waiterMs }) {
      const step = [token, leaseMs, seenHeader, awaitedToken, waiterMs]
      return turnFrom(await claim(value, lease, waiters, outcome, ...step))
    },
    async renew({ lease, waiters, outcome }, { token, leaseMs, progress }) {
      return renewalFrom(await renew(lease, waiters, outcome, token, leaseMs, progress))
    },
    async finish({ value, lease, waiters, outcome }, end) {
      const step = [end.token, end.value, end.valueMs, end.outcome, end.outcomeMs, end.channel, end.message]
      return finishFrom(await finish(value, lease, waiters, outcome, ...step))
    },
    async release({ lease, waiters }, { token, force, channel, message }) {
      return (await release(lease, waiters, token, force ? '1' : '0', channel, message)) === 1
    },
    async invalidate(tagsKey, { tag, generation, keptMs, maxTags, channel, message }) {
      await invalidate(tagsKey, tag, generation, keptMs, maxTags, channel, message)
    },
    async incarnation(tagsKey, { id, keptMs }) {
      const reply = await incarnation(tagsKey, id, keptMs)
      if (typeof reply !== 'string') throw unexpected('incarnation', reply)
      return reply
    },
    async admit(largeKey, { key, bytes, maxValues, maxBytes, keptMs }) {
      const reply = await admit(largeKey, key, bytes, maxValues, maxBytes, keptMs)
      if (!Array.isArray(reply)) throw unexpected('admit', reply)
      return reply.map(String)
    },
  }
}

function turnFrom(reply: unknown): Turn {
  const [kind, text, progress] = Array.isArray(reply) ? reply : []
  if (kind === 'lead') return { kind, isForeign: text === 1 }
  if (kind === 'changed') return { kind, value: typeof text === 'string' ? text : undefined }
  if (kind === 'wait' && typeof text === 'string') return { kind, owner: text, progress: String(progress) }
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

function unexpected(name: string, reply: unknown): Error {
  return new Error(`The script ${name} replied ${JSON.stringify(reply)}`)
}
