import assert from 'node:assert/strict'
import { ask, askSomethingNew, assertAnswered, assertRefused, post } from './client.ts'
import { compose, containerOf, docker, eventually, inspect, type ServiceName } from './docker.ts'
import type { Report } from './report.ts'

/**
 * What a client gets while one container is gone:
 * - everything: also answers to new questions;
 * - known: answers that any cache has, and an error for new ones;
 * - edge: GETs that nginx has cached;
 * - nothing: no connection.
 */
type Rest = 'everything' | 'known' | 'edge' | 'nothing'

const restWithout: Record<ServiceName, Rest> = {
  nginx: 'nothing',
  gateway: 'edge',
  'text-generation': 'everything', // one of three
  vision: 'everything',
  'image-generation': 'everything',
  redis: 'known',
  'redis-cache': 'everything',
  emulator: 'known',
  prometheus: 'everything',
}

/** A network without which the container is cut off from those that ask it. */
const networkOf: Record<ServiceName, string> = {
  nginx: 'front',
  gateway: 'front',
  'text-generation': 'services',
  vision: 'services',
  'image-generation': 'services',
  redis: 'state',
  'redis-cache': 'state',
  emulator: 'services',
  prometheus: 'services',
}

const known = { topic: 'What everybody asks' }
const knownUrl = `/api/subtopics?topic=${encodeURIComponent(known.topic)}`

export async function checkFaults(report: Report): Promise<void> {
  for (const service of Object.keys(restWithout) as ServiceName[]) {
    const container = await containerOf(service)
    const faults: Record<string, [begin: () => Promise<unknown>, end: () => Promise<unknown>]> = {
      kill: [() => docker('kill', container), () => docker('start', container)],
      pause: [() => docker('pause', container), () => docker('unpause', container)],
      stop: [() => stop(container), () => docker('start', container)],
      'network disconnect': await disconnection(container, networkOf[service], service),
    }
    for (const [name, [begin, end]] of Object.entries(faults))
      await report.check(name, service, async () => {
        await makeKnown()
        const seen = await begin()
        try {
          await eventually(() => assertRest(restWithout[service], { service, mayHang: name === 'pause' }))
        } finally {
          await end()
          await eventually(async () => {
            const { Health } = (await inspect(container)).State
            if (Health) assert.equal(Health.Status, 'healthy')
            assertAnswered(await askSomethingNew(5_000))
          }, 60)
        }
        return typeof seen === 'number' ? `ended with ${seen}` : ''
      })
  }
}

/** In all caches: a fault before may have emptied some. */
async function makeKnown(): Promise<void> {
  assertAnswered(await ask(knownUrl))
  for (let replica = 0; replica < 6; replica++) assertAnswered(await post('/api/create_subtopics', known))
}

async function assertRest(rest: Rest, { service, mayHang }: { service: ServiceName; mayHang: boolean }): Promise<void> {
  if (rest === 'everything') {
    for (let count = 0; count < 6; count++) assertAnswered(await askSomethingNew(8_000, service))
  } else if (rest === 'nothing') {
    assert.equal((await ask('/api/health', {}, 2_000)).status, 0)
  } else {
    assertRefused(await askSomethingNew(10_000), { orNone: rest === 'edge' || mayHang })
    assertAnswered(await ask(knownUrl, {}, 2_000))
    if (rest === 'known') assertAnswered(await post('/api/create_subtopics', known, 5_000))
  }
}

/** With the time that Compose gives it. It must end by itself: 137 is a process that was killed. */
async function stop(container: string): Promise<number> {
  const seconds = container.includes('nginx') ? '75' : container.includes('redis') ? '30' : '12'
  await docker('stop', '-t', seconds, container)
  const { ExitCode } = (await inspect(container)).State
  assert.equal(ExitCode, 0, `${container} ended with ${ExitCode}`)
  return ExitCode
}

async function disconnection(container: string, network: string, service: ServiceName) {
  const { Networks } = (await inspect(container)).NetworkSettings
  const name = Object.keys(Networks).find((full) => full.endsWith(`_${network}`))
  if (name === undefined) throw new Error(`${container} is not on ${network}`)
  return [
    () => docker('network', 'disconnect', name, container),
    () => docker('network', 'connect', '--alias', service, name, container),
  ] as [() => Promise<unknown>, () => Promise<unknown>]
}

export async function checkRedis(report: Report): Promise<void> {
  const redisCli = (service: ServiceName, ...args: string[]) => compose('exec', '-T', service, 'redis-cli', ...args)
  const answersAgain = () => eventually(async () => assertAnswered(await askSomethingNew(5_000)), 60)

  await report.check('redis', 'restarted: known answers go on, new ones after a hold', async () => {
    await makeKnown()
    await compose('restart', 'redis')
    assertAnswered(await post('/api/create_subtopics', known))
    await answersAgain()
  })
  await report.check('redis', 'emptied: the same', async () => {
    await makeKnown()
    await redisCli('redis', 'flushall')
    assertAnswered(await post('/api/create_subtopics', known))
    await answersAgain()
  })
  await report.check('redis', 'full: known answers go on, /api/ready says what is full', async () => {
    await makeKnown()
    await redisCli('redis', 'config', 'set', 'maxmemory', '1')
    try {
      await eventually(async () => {
        assertRefused(await askSomethingNew(10_000))
        assertAnswered(await post('/api/create_subtopics', known))
        const { body } = await ask('/api/ready')
        assert.equal(body.status, 'degraded')
        assert.match(JSON.stringify(body), /full|memory/i)
      })
    } finally {
      await redisCli('redis', 'config', 'set', 'maxmemory', '192mb')
    }
    await answersAgain()
  })
  await report.check('redis-cache', 'restarted, emptied: new answers go on', async () => {
    await compose('restart', 'redis-cache')
    await answersAgain()
    await redisCli('redis-cache', 'flushall')
    assertAnswered(await askSomethingNew())
  })
  await report.check('redis-cache', 'full: it evicts, and new answers go on', async () => {
    await redisCli('redis-cache', 'config', 'set', 'maxmemory', '2mb')
    try {
      for (let count = 0; count < 20; count++) assertAnswered(await askSomethingNew())
    } finally {
      await redisCli('redis-cache', 'config', 'set', 'maxmemory', '256mb')
    }
  })
}
