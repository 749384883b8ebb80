import { type RedisConnection, subscriberTo } from '@knowalledge/redis-kit'

export interface BusListener {
  /** The production that `token` names is over. */
  concluded(key: string, token: string): void
  invalidated(generations: Record<string, string>): void
}

/** What travels between the instances, on a connection of its own: a subscribed one can do nothing else. */
export class Bus {
  readonly #subscriber: RedisConnection
  readonly #channel: string
  #sessions = 0
  #session: number | undefined
  #isClosed = false

  constructor(redis: RedisConnection, channel: string, listener: BusListener) {
    this.#channel = channel
    this.#subscriber = subscriberTo(redis)
    this.#subscriber.on('error', () => {}) // the caller's own connection meets the same fault and tells of it
    this.#subscriber.on('close', () => this.#lose())
    this.#subscriber.on('ready', () => this.#subscribe())
    // A cluster moves its subscription to another node by itself, and says no more than which nodes come and go.
    for (const change of ['+node', '-node']) this.#subscriber.on(change, () => this.#subscribe())
    this.#subscriber.on('message', (_: string, text: string) => deliver(text, listener))
  }

  /** Changes with every subscription, since messages in between were missed; undefined while there is none. */
  get session(): number | undefined {
    return this.#session
  }

  close(): void {
    this.#isClosed = true
    this.#subscriber.disconnect()
  }

  static concluded(key: string, token: string): string {
    return JSON.stringify(['concluded', key, token])
  }

  static invalidated(tag: string, generation: string): string {
    return JSON.stringify(['invalidated', tag, generation])
  }

  #lose(): void {
    this.#session = undefined
  }

  #subscribe(): void {
    this.#lose()
    if (this.#subscriber.status !== 'ready') return
    this.#subscriber.subscribe(this.#channel).then(
      () => {
        this.#session = ++this.#sessions
      },
      () => {
        if (!this.#isClosed) this.#subscriber.disconnect(true) // a new connection, and then the next try
      },
    )
  }
}

function deliver(text: string, listener: BusListener): void {
  const [kind, subject, name] = parse(text)
  if (typeof subject !== 'string' || typeof name !== 'string') return
  if (kind === 'concluded') listener.concluded(subject, name)
  if (kind === 'invalidated') listener.invalidated({ [subject]: name })
}

/** Whatever else is said on the channel is not for us. */
function parse(text: string): unknown[] {
  try {
    const message: unknown = JSON.parse(text)
    return Array.isArray(message) ? message : []
  } catch {
    return []
  }
}
