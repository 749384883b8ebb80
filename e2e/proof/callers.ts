import { runKeys } from '@knowalledge/testing'

/** Who asks: the headers that prove it, none for nobody. */
export interface Caller {
  name: string
  headers: Record<string, string>
}

export const nobody: Caller = { name: 'nobody', headers: {} }

/** What a gateway needs to ask who comes. */
export const doorEnv = {
  AUTH: 'required',
  SESSION_SECRET: 'a-session-secret-for-the-proof-of-all',
  GATEWAY_SECRET: 'a-gateway-secret-for-the-proof-of-all',
}

/**
 * A tenant with a limit of its own, one with a limit that is never reached, and a browser that exchanged its key for a session.
 * Limits of their own exempt them from the shares of clients (ADR 0016), which leave a part of the quota unused on purpose.
 */
export async function keyedCallers(
  redisUrl: string,
  { rpm, gateway }: { rpm: number; gateway: string },
): Promise<Caller[]> {
  const limited = await runKeys(redisUrl, 'create', '--tenant', 'limited', '--rpm', String(rpm))
  const roomy = await runKeys(redisUrl, 'create', '--tenant', 'roomy', '--rpm', '1000000000')
  return [
    { name: 'a tenant with a limit', headers: { 'x-api-key': limited } },
    { name: 'a tenant with a roomy limit', headers: { authorization: `Bearer ${roomy}` } },
    { name: 'a session', headers: await session(gateway, roomy) },
  ]
}

async function session(gateway: string, key: string): Promise<Record<string, string>> {
  const login = await fetch(`${gateway}/api/session`, { method: 'POST', headers: { 'x-api-key': key } })
  const cookie = login.headers.get('set-cookie')?.split(';', 1)[0] ?? ''
  const token = await fetch(`${gateway}/api/csrf-token`, { headers: { cookie } })
  return { cookie, 'x-csrf-token': ((await token.json()) as { csrf_token: string }).csrf_token }
}
