import assert from 'node:assert/strict'
import { ask, askSomethingNew, assertAnswered, withoutLoss } from './client.ts'
import { compose, containersOf, docker, eventually, type ServiceName } from './docker.ts'
import type { Report } from './report.ts'

const up = ['up', '-d', '--no-build', '--no-deps', '--no-recreate', '--wait']

export async function checkScaling(report: Report): Promise<void> {
  await report.check('scale', 'text-generation 3 → 5 while it runs: all five serve within 5 s', async () => {
    const asked = await withoutLoss(async () => {
      await compose(...up, '--scale', 'text-generation=5', 'text-generation')
      const before = await requestsOfEach()
      await eventually(async () => {
        const now = await requestsOfEach()
        assert.equal(now.size, 5)
        for (const [container, count] of now)
          assert.ok(count > (before.get(container) ?? 0), `${container} has no requests`)
      }, 5)
    })
    return `${asked} requests`
  })
  await report.check('scale', 'text-generation 5 → 3: no request is lost', async () => {
    const asked = await withoutLoss(() => compose(...up, '--scale', 'text-generation=3', 'text-generation'))
    assert.equal((await containersOf('text-generation')).length, 3)
    return `${asked} requests`
  })
  for (const service of ['text-generation', 'vision', 'image-generation'] as const)
    await report.check('rolling recreate', `${service}: no request is lost`, async () => {
      const asked = await withoutLoss(() => recreateOneByOne(service), service)
      return `${asked} requests`
    })
  await report.check('stop', 'requests in flight are answered before a gateway ends', async () => {
    const asked = Array.from({ length: 20 }, () => askSomethingNew())
    await compose('stop', 'gateway')
    for (const answer of await Promise.all(asked)) assertAnswered(answer)
    await compose(...up, 'gateway')
    await eventually(async () => assertAnswered(await ask('/api/ready')))
  })
  await report.check('rolling recreate', 'two gateways: no request is lost', async () => {
    await compose(...up, '--scale', 'gateway=2', 'gateway')
    const asked = await withoutLoss(() => recreateOneByOne('gateway', 2))
    await withoutLoss(() => compose(...up, '--scale', 'gateway=1', 'gateway'))
    return `${asked} requests`
  })
}

/** As a deploy does it: what is new serves before the next one ends. */
async function recreateOneByOne(service: ServiceName, replicas?: number): Promise<void> {
  for (const container of await containersOf(service)) {
    await docker('stop', '-t', '12', container)
    await docker('rm', container)
    await compose(...up, ...(replicas ? ['--scale', `${service}=${replicas}`] : []), service)
  }
}

/** POSTs to each instance of text-generation. */
async function requestsOfEach(): Promise<Map<string, number>> {
  const counts = new Map<string, number>()
  for (const container of await containersOf('text-generation')) {
    const script = `fetch('http://127.0.0.1:5001/metrics').then((reply) => reply.text()).then(console.log)`
    const metrics = await docker('exec', container, 'node', '-e', script)
    const values = [...metrics.matchAll(/^http_requests_total\{[^}]*create_subtopics[^}]*\} (\d+)$/gm)]
    counts.set(
      container,
      values.reduce((sum, [, value]) => sum + Number(value), 0),
    )
  }
  return counts
}
