import { setTimeout as sleep } from 'node:timers/promises'
import type { TestRedisServer } from '@knowalledge/testing'
import type { Fault, PlainRedisFault } from './faults.ts'
import { type FleetRedis, type Meanwhile, on } from './fleet-redis.ts'

/** Plays one fault of Redis until `meanwhile` is over, and mends it. */
export async function playOnRedis(
  redis: FleetRedis,
  fault: Fault & { on: 'redis' },
  meanwhile: Meanwhile,
): Promise<void> {
  if ('members' in fault) await redis.break(fault.mode, meanwhile, fault.members)
  else await faults[fault.what](redis, meanwhile)
}

const faults: Record<PlainRedisFault, (redis: FleetRedis, meanwhile: Meanwhile) => Promise<void> | void> = {
  async hang({ server }, meanwhile) {
    server.process.kill('SIGSTOP')
    await meanwhile()
    server.process.kill('SIGCONT')
  },
  cut: (redis) => redis.cut(),
  refuse: (redis, meanwhile) => redis.break('refuse', meanwhile),
  'swallow requests, then cut': (redis, meanwhile) => redis.break('swallow-requests', meanwhile),
  'swallow replies, then cut': (redis, meanwhile) => redis.break('swallow-replies', meanwhile),
  'cut instead of a reply': (redis, meanwhile) => redis.break('cut-on-reply', meanwhile),
  'outage longer than a window': (redis, meanwhile) => redis.break('refuse', meanwhile),
  full: (redis, meanwhile) => withSetting(redis, 'maxmemory', '1', meanwhile),
  'too few replicas': (redis, meanwhile) => withSetting(redis, 'min-replicas-to-write', '1', meanwhile),
  async 'read-only'({ server }, meanwhile) {
    await replicate(server, 1) // nobody listens there: it keeps its data, and refuses writes
    await meanwhile()
    await promote(server)
  },
  async 'restart, empty'({ server }, meanwhile) {
    server.process.kill('SIGKILL')
    await meanwhile()
    await server.restart()
  },
  async 'restart with an old snapshot'({ server }, meanwhile) {
    await on(server, (redis) => redis.save())
    await meanwhile() // what is written now is lost
    await server.restart({ withSnapshot: true })
  },
  async 'failover that loses writes'(redis, meanwhile) {
    const primary = redis.server
    const replica = await redis.another()
    const link = await redis.linkTo(primary)
    await replicate(replica, link.port)
    await synchronised(replica)
    link.mode = 'refuse'
    link.cut()
    await meanwhile() // what is written now is lost
    primary.process.kill('SIGKILL')
    await promote(replica)
    redis.failOverTo(replica)
  },
  async 'replaced by the data of an empty primary'(redis, meanwhile) {
    const empty = await redis.another()
    await replicate(redis.server, empty.port)
    await synchronised(redis.server)
    await meanwhile()
    await promote(redis.server)
    empty.process.kill('SIGKILL')
  },
}

async function withSetting({ server }: FleetRedis, name: string, value: string, meanwhile: Meanwhile): Promise<void> {
  await on(server, (redis) => redis.config('SET', name, value))
  await meanwhile()
  await on(server, (redis) => redis.config('SET', name, '0'))
}

async function replicate(server: TestRedisServer, port: number): Promise<void> {
  await on(server, (redis) => redis.replicaof('127.0.0.1', port))
}

async function promote(server: TestRedisServer): Promise<void> {
  await on(server, (redis) => redis.replicaof('NO', 'ONE'))
}

/** Resolves when the replica has its primary's data. */
async function synchronised(replica: TestRedisServer): Promise<void> {
  await on(replica, async (redis) => {
    for (let tries = 0; tries < 250; tries++) {
      if ((await redis.info('replication')).includes('master_link_status:up')) return
      await sleep(20)
    }
    throw new Error('the replica was not synchronised within 5 s')
  })
}
