import {
  type FaultMode,
  type FaultProxy,
  faultProxyForTest,
  redisServerForTest,
  type TestContext,
  type TestRedisServer,
} from '@knowalledge/testing'

/** A replica is synchronised at once, and not after the 5 s in which Redis waits for others. */
const replicationSettings = ['--repl-diskless-sync-delay', '0']

/** What happens while a fault lasts. */
export type Meanwhile = () => Promise<unknown>

/** The fleet's Redis, and one proxy before it for each process, so that any of them can be cut off from it. */
export class FleetRedis {
  /** Of now: a failover replaces it. */
  server: TestRedisServer
  readonly #t: TestContext
  readonly #proxies: ReadonlyMap<string, FaultProxy>

  /** Without `names` there are no proxies, and all processes share the server's own address. */
  static async start(t: TestContext, names: readonly string[]): Promise<FleetRedis> {
    const server = await redisServerForTest(t, replicationSettings)
    const proxies = names.map(async (name) => [name, await faultProxyForTest(t, server.port)] as const)
    return new FleetRedis(t, server, new Map(await Promise.all(proxies)))
  }

  private constructor(t: TestContext, server: TestRedisServer, proxies: ReadonlyMap<string, FaultProxy>) {
    this.#t = t
    this.server = server
    this.#proxies = proxies
  }

  /** Where the process of this name finds Redis. */
  urlFor(name: string): string {
    const port = this.#proxies.get(name)?.port ?? this.server.port
    return `redis://127.0.0.1:${port}`
  }

  proxyOf(name: string): FaultProxy {
    const proxy = this.#proxies.get(name)
    if (proxy === undefined) throw new Error(`there is no proxy before Redis for ${name}`)
    return proxy
  }

  /** Closes the connections of all. */
  cut(): void {
    for (const proxy of this.#proxies.values()) proxy.cut()
  }

  /** Breaks the way of all, or of the processes of these names, until `meanwhile` is over. */
  async break(mode: FaultMode, meanwhile: Meanwhile, names: Iterable<string> = this.#proxies.keys()): Promise<void> {
    const broken = [...names].map((name) => this.proxyOf(name))
    for (const proxy of broken) proxy.mode = mode
    if (mode === 'refuse') for (const proxy of broken) proxy.cut()
    await meanwhile()
    for (const proxy of broken) {
      proxy.mode = 'pass'
      if (mode !== 'cut-on-reply') proxy.cut()
    }
  }

  /** Another server, which nobody knows yet. */
  another(): Promise<TestRedisServer> {
    return redisServerForTest(this.#t, replicationSettings)
  }

  /** Where `server` stands as a primary for a replica that may lose it. */
  linkTo(server: TestRedisServer): Promise<FaultProxy> {
    return faultProxyForTest(this.#t, server.port)
  }

  /** The promoted `server` takes the place of the one before. */
  failOverTo(server: TestRedisServer): void {
    this.server = server
    for (const proxy of this.#proxies.values()) {
      proxy.targetPort = server.port
      proxy.cut()
    }
  }
}

type Connection = ReturnType<TestRedisServer['connect']>

/** Runs commands on a server over a connection of their own. */
export async function on<T>(server: TestRedisServer, commands: (redis: Connection) => Promise<T>): Promise<T> {
  const redis = server.connect()
  try {
    return await commands(redis)
  } finally {
    redis.disconnect()
  }
}
