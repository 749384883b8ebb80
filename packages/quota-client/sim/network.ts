import { EventEmitter } from 'node:events'
import { keyNames } from '../src/redis/script.ts'
import type { VirtualProcess } from './process.ts'
import type { Random } from './random.ts'
import type { Argument } from './real-redis.ts'
import type { Answer, Executed, VirtualRedis } from './server.ts'

/** What a link does to the messages of one member; shares are of 1. */
export interface Link {
  isCut: boolean
  loseRequests: number
  loseReplies: number
  loseHeartbeats: number
  duplicate: number
  /** Duplicates, and with `reorder` all messages, come up to so much later. */
  straggleMs: number
  reorder: boolean
  delayMs: number
  jitterMs: number
}

export const cleanLink: Link = {
  isCut: false,
  loseRequests: 0,
  loseReplies: 0,
  loseHeartbeats: 0,
  duplicate: 0,
  straggleMs: 0,
  reorder: false,
  delayMs: 0.05,
  jitterMs: 1,
}

export interface Delivery {
  sentMs: number
  executed: Executed
}

export interface ConnectionOptions {
  process: VirtualProcess
  server: VirtualRedis
  random: Random
  /** A call was carried out for this connection, whether or not the reply arrives. */
  onExecuted: (call: SentCall, answer: Answer) => void
}

export interface SentCall {
  kind: string
  sentMs: number
}

interface Pending {
  kind: string
  sentMs: number
  isDone: boolean
  resolve: (reply: Buffer) => void
  reject: (error: Error) => void
}

/** As redisOptions of redis-kit sets it. */
const connectTimeoutMs = 1000

/** Stands in for the part of ioredis that quota-client uses, over a virtual link. Like it, it reconnects by itself. */
export class VirtualConnection extends EventEmitter {
  readonly options = { autoResendUnfulfilledCommands: false }
  readonly link: Link
  status = 'connecting'
  /** The reply that is being handled, or was last: what a verdict came with. */
  lastDelivery: Delivery | undefined
  /** Replies delivered, counted. */
  deliveries = 0
  readonly #process: VirtualProcess
  readonly #server: VirtualRedis
  readonly #random: Random
  readonly #onExecuted: ConnectionOptions['onExecuted']
  readonly #pending = new Set<Pending>()
  #generation = 0
  #dials = 0
  #lastArrivalMs = 0
  #lastReplyMs = 0

  constructor({ process, server, random, onExecuted }: ConnectionOptions, link: Link) {
    super()
    this.#process = process
    this.#server = server
    this.#random = random
    this.#onExecuted = onExecuted
    this.link = link
    this.#reconnect(0)
  }

  defineCommand(): void {}

  /** The simulator loads the script itself, and its server knows the key. */
  knowalledgeQuotaBuffer(...all: Argument[]): Promise<Buffer> {
    const args = all.slice(keyNames.length)
    if (this.status !== 'ready')
      return Promise.reject(new Error("Stream isn't writeable and enableOfflineQueue options is false"))
    return new Promise((resolve, reject) => {
      const pending = { kind: String(args[1]), sentMs: this.#process.time.nowMs, isDone: false, resolve, reject }
      this.#pending.add(pending)
      const { link } = this
      const isLost = this.#random.chance(pending.kind === 'heartbeat' ? link.loseHeartbeats : 0)
      if (isLost || this.#random.chance(link.loseRequests)) return
      this.#send(args, pending, 0)
      if (this.#random.chance(link.duplicate)) this.#send(args, pending, this.#random.between(0, link.straggleMs))
    })
  }

  disconnect(reconnect = false): void {
    if (this.status === 'end') return
    if (reconnect) this.cut()
    else this.#close('end')
  }

  /** The connection is lost; the process notices, and tries again. */
  cut(): void {
    if (this.status === 'end') return
    this.#generation += 1
    this.#server.connections.delete(this)
    this.#process.deliver(() => {
      if (this.status === 'end') return
      this.#close('reconnecting')
      this.#reconnect(1)
    })
  }

  #close(status: string): void {
    this.status = status
    this.#generation += 1
    this.#server.connections.delete(this)
    for (const pending of this.#pending) if (!pending.isDone) pending.reject(new Error('Connection is closed.'))
    this.#pending.clear()
    this.emit('close')
  }

  #reconnect(attempt: number): void {
    const generation = this.#generation
    const afterMs = attempt === 0 ? 1 : Math.min(20 * attempt, 500) + this.#random.between(0, 5)
    this.#process.setTimer(() => {
      if (generation !== this.#generation || this.status === 'end') return
      if (!this.#server.isUp || this.link.isCut) {
        this.#reconnect(attempt + 1)
        return
      }
      const dialled = ++this.#dials
      this.#process.time.after(this.#delay() * 2, () =>
        this.#server.handshake(() => this.#connected(generation, dialled)),
      )
      this.#process.setTimer(() => {
        // A server that died forgot the handshake; ioredis gives up after its connectTimeout.
        if (dialled === this.#dials && this.status !== 'ready' && generation === this.#generation)
          this.#reconnect(attempt + 1)
      }, connectTimeoutMs)
    }, afterMs)
  }

  #connected(generation: number, dialled: number): void {
    this.#process.deliver(() => {
      if (dialled !== this.#dials || generation !== this.#generation || this.status === 'end') return
      if (!this.#server.isUp || this.link.isCut) {
        this.#reconnect(1)
        return
      }
      this.status = 'ready'
      this.#server.connections.add(this)
      this.emit('ready')
    })
  }

  #delay(): number {
    return this.link.delayMs + this.#random.between(0, this.link.jitterMs)
  }

  /** In order, as over TCP, unless the link reorders. A request in flight when the connection is cut may arrive. */
  #send(args: readonly Argument[], pending: Pending, lateMs: number): void {
    const { time } = this.#process
    const generation = this.#generation
    const survivesCut = this.#random.chance(0.5)
    let atMs = time.nowMs + this.#delay() + lateMs
    if (this.link.reorder) atMs += this.#random.between(0, this.link.straggleMs)
    else if (lateMs === 0) {
      atMs = Math.max(this.#lastArrivalMs, atMs)
      this.#lastArrivalMs = atMs
    }
    const arrive = () => {
      if (generation !== this.#generation && !survivesCut) return undefined
      return this.#server.arrive(args, (answer) => {
        this.#onExecuted(pending, answer)
        if (generation === this.#generation) this.#reply(answer, pending)
      })
    }
    time.at(atMs, arrive, true)
  }

  #reply(answer: Answer, pending: Pending): void {
    if (this.#random.chance(this.link.loseReplies)) return
    const { time } = this.#process
    const generation = this.#generation
    let atMs = time.nowMs + this.#delay()
    if (this.link.reorder) atMs += this.#random.between(0, this.link.straggleMs)
    else {
      atMs = Math.max(this.#lastReplyMs, atMs)
      this.#lastReplyMs = atMs
    }
    time.at(atMs, () => {
      if (generation === this.#generation) this.#process.deliver(() => this.#settle(answer, pending))
    })
  }

  #settle({ reply, error, executed }: Answer, pending: Pending): void {
    if (pending.isDone || !this.#pending.has(pending)) return
    pending.isDone = true
    this.#pending.delete(pending)
    this.lastDelivery = { sentMs: pending.sentMs, executed }
    this.deliveries += 1
    if (error !== undefined) pending.reject(error)
    else if (reply !== undefined) pending.resolve(reply)
  }
}
