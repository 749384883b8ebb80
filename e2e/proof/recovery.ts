import { setTimeout as sleep } from 'node:timers/promises'
import { faultOf } from './contract.ts'
import type { Fleet, Member } from './fleet.ts'
import { ask } from './http.ts'
import type { Questioner, Route } from './questions.ts'

const routes: Route[] = ['create_subtopics', 'create_presentation', 'image2topic', 'generate_image']
const timeoutMs = 30_000

/** Milliseconds until all is healthy: every gateway says `ready`, and something new is answered on every route. */
export async function healthyAfter(fleet: Fleet, questioner: Questioner): Promise<{ ms: number; missing: string[] }> {
  const startedAt = performance.now()
  const timeout = AbortSignal.timeout(timeoutMs)
  const gateways = fleet.of('gateway').filter((member) => member.process !== undefined)
  const open = [
    ...gateways.map(({ name, url }) => ({ name: `${name} ready`, look: () => isReady(url, timeout) })),
    // One each, by one gateway or another: more would be a question of quota, which may be spent for a while.
    ...routes.map((route, at) => {
      const { name, url } = gateways[at % gateways.length] as Member
      return { name: `${route} by ${name}`, look: () => isAnswered(url, { route, questioner, timeout }) }
    }),
  ]
  const missing = new Set(open.map(({ name }) => name))
  await Promise.all(
    open.map(async ({ name, look }) => {
      while (!timeout.aborted && missing.has(name)) {
        if (await look()) missing.delete(name)
        else await sleep(100)
      }
    }),
  )
  return { ms: performance.now() - startedAt, missing: [...missing] }
}

async function isReady(url: string, signal: AbortSignal): Promise<boolean> {
  const reply = await ask(`${url}/api/ready`, { method: 'GET', headers: {}, signal }).catch(() => undefined) // not yet
  return reply?.status === 200 && JSON.parse(reply.body.toString()).status === 'ready'
}

async function isAnswered(
  url: string,
  { route, questioner, timeout: signal }: { route: Route; questioner: Questioner; timeout: AbortSignal },
): Promise<boolean> {
  const { method, path, headers, body, ...question } = await questioner.next(route)
  const id = `recovery-${question.marker}`
  const sent = { method, headers: { ...headers, 'x-request-id': id }, body, signal }
  const reply = await ask(url + path, sent).catch(() => undefined) // not yet
  if (reply?.status !== 200) return false
  return (await faultOf({ ...question, method, path, headers, body }, id, reply)) === undefined
}
