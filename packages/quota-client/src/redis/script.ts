import { defineScript } from '@knowalledge/redis-kit'
import type { Cluster, Redis } from 'ioredis'
import type { Runtime } from '../types.ts'
import { accountBytes, type PoolState, readAccount, scriptText, status } from './layout.ts'

export interface Call {
  kind: 'reserve' | 'heartbeat' | 'leave' | 'usage'
  known: { incarnation: number; writes: number }
  /** An incarnation in which a clock stepped; 0: none. */
  doubted: number
  /** Redis's time after which nobody waits for the reply, in milliseconds; 0: none. */
  deadlineMs: number
  /** The lists that lua/call.lua describes. */
  terms: string
  dayEnds: string
  runs?: string
  adjustments?: string
  pause?: string
  knowledge?: string
  tenant?: { id: string; limits: string; adjustments: string } | undefined
  line?: string
}

export interface Reply {
  sentMs: number
  /** Redis's time, in milliseconds since the epoch. */
  nowMs: number
  status: (typeof status)[keyof typeof status]
  /** Undefined when the call came too late to be carried out. */
  pool: PoolState | undefined
  tenant: PoolState | undefined
  /** What the script says beyond the accounts. */
  rest: Float64Array
}

const headBytes = 24
/** The state, on which the limits depend, and the waiting lines, on which they do not. */
export const keyNames = ['', ':interactive', ':batch', ':rounds']

/** The only place that registers and calls the script. */
export class QuotaScript {
  readonly #command: ReturnType<typeof defineScript>
  readonly #runtime: Runtime
  readonly #timeoutMs: number
  readonly #keys: string[]
  readonly memberId: string
  #calls = 0

  constructor(redis: Redis | Cluster, runtime: Runtime, { pool, timeoutMs }: { pool: string; timeoutMs: number }) {
    this.#command = defineScript(redis, {
      name: 'knowalledgeQuota',
      lua: scriptText(),
      numberOfKeys: keyNames.length,
      binaryReplies: true,
    })
    this.#runtime = runtime
    this.#timeoutMs = timeoutMs
    this.#keys = keyNames.map((name) => `quota:{${pool}}${name}`)
    this.memberId = String(Math.floor(runtime.random() * 2 ** 52) + 1)
  }

  /** Rejects when Redis fails, refuses, or does not answer in time. */
  async call(call: Call): Promise<Reply> {
    const number = ++this.#calls
    const { known, tenant } = call
    const args = [
      number,
      call.kind,
      this.memberId,
      `${known.incarnation},${known.writes},${call.doubted}`,
      call.deadlineMs,
      call.terms,
      call.dayEnds,
      call.runs ?? '',
      call.adjustments ?? '',
    ]
    if (call.pause || call.knowledge || tenant || call.line) args.push(call.pause ?? '', call.knowledge ?? '')
    if (tenant || call.line) args.push(tenant?.id ?? '', tenant?.limits ?? '', tenant?.adjustments ?? '')
    if (call.line) args.push(call.line)
    const sentMs = this.#runtime.monotonicMs()
    const answer = await this.#inTime(this.#command(...this.#keys, ...args))
    return readReply(answer, { call: number, sentMs, tenant })
  }

  #inTime(answer: Promise<unknown>): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const late = () => reject(new Error(`Redis did not answer within ${this.#timeoutMs} ms`))
      // After a busy event loop the reply may be there and not yet be read: it is before the second timer runs.
      let timer = this.#runtime.setTimer(() => {
        timer = this.#runtime.setTimer(late, 1)
      }, this.#timeoutMs)
      answer.then(resolve, reject).finally(() => timer.cancel())
    })
  }
}

function readReply(answer: unknown, expected: { call: number; sentMs: number; tenant: Call['tenant'] }): Reply {
  if (!Buffer.isBuffer(answer) || answer.length < headBytes || answer.readDoubleLE(0) !== expected.call)
    throw new Error(`Redis's reply is not that of call ${expected.call}`)
  const outcome = answer.readDoubleLE(16) as Reply['status']
  const head = { sentMs: expected.sentMs, nowMs: answer.readDoubleLE(8), status: outcome }
  if (outcome === status.late) return { ...head, pool: undefined, tenant: undefined, rest: new Float64Array() }
  const from = headBytes + accountBytes * (expected.tenant ? 2 : 1)
  const rest = new Float64Array((answer.length - from) / 8)
  for (let at = 0; at < rest.length; at++) rest[at] = answer.readDoubleLE(from + at * 8)
  return {
    ...head,
    pool: readAccount(answer, headBytes),
    tenant: expected.tenant && readAccount(answer, headBytes + accountBytes),
    rest,
  }
}
