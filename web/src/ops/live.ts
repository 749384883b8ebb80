import { serverSentEvents } from '@knowalledge/client'
import { batch, signal } from '@preact/signals'
import { kept, minuteBefore, type Point, pointOf, type Sample, sampleOf } from './rates.ts'
import type { OpsState } from './state.ts'

export const state = signal<OpsState | null>(null)
export const samples = signal<Sample[]>([])
export const points = signal<Point[]>([])
export const connection = signal<'connecting' | 'live' | 'lost'>('connecting')
/** True when the token that was sent is wrong. */
export const isTokenWrong = signal(false)

/** ADMIN_TOKEN, in this page's memory only. */
let token = ''
let current = new AbortController()

const reconnectMs = 2_000

/** Connects again with the token, which shows the clients. */
export function useToken(given: string): void {
  token = given
  isTokenWrong.value = false
  current.abort()
}

/** Follows the events for as long as the page is open. */
export async function follow(): Promise<never> {
  for (;;) {
    current = new AbortController()
    const isAnswered = await followOnce(current.signal)
    if (!isAnswered) connection.value = 'lost'
    if (!current.signal.aborted) await new Promise((resolve) => setTimeout(resolve, reconnectMs))
  }
}

/** True when there was an answer that could be read. */
async function followOnce(signal: AbortSignal): Promise<boolean> {
  try {
    const headers = token === '' ? {} : { authorization: `Bearer ${token}` }
    const response = await fetch('ops/events', { signal, headers })
    if (response.status === 401) {
      token = ''
      isTokenWrong.value = true
      return true
    }
    if (!response.ok || response.body === null) return false
    for await (const { event, data } of serverSentEvents(response.body)) if (event === 'state') show(JSON.parse(data))
  } catch {
    return signal.aborted // else the gateway or the network is away
  }
  return false
}

function show(next: OpsState): void {
  batch(() => {
    connection.value = 'live'
    samples.value = kept(samples.value, sampleOf(next))
    points.value = kept(points.value, pointOf(next, minuteBefore(samples.value) ?? sampleOf(next)))
    state.value = next
  })
}
