import { request } from 'undici'

/** Refused, reset, late and any other status are all a no: that is what is being asked. */
export async function answersWith200(url: string, signal: AbortSignal): Promise<boolean> {
  try {
    const { statusCode, body } = await request(url, { signal })
    await body.dump()
    return statusCode === 200
  } catch {
    return false
  }
}
