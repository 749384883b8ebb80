import { setTimeout as sleep } from 'node:timers/promises'
import type { Arrival } from '@knowalledge/gemini-emulator'
import type { Fleet, Span } from './fleet.ts'
import { ask } from './http.ts'

export interface HoldSpan extends Span {
  /** Whose pool was on hold. */
  model: string
  cause: string
}

export interface HoldWatch {
  /** What was seen so far. */
  spans: readonly HoldSpan[]
  /** Resolves when no pool is seen to be on hold any more. */
  open(): Promise<void>
  stop(): Promise<void>
}

const everyMs = 100

/** Reads from `/api/quota/stats`, at any gateway that sees Redis, when and why the quota of each model is on hold. */
export function watchHolds(fleet: Fleet): HoldWatch {
  const over = new AbortController()
  const spans: HoldSpan[] = []
  let isOpen = false
  const current = new Map<string, HoldSpan>()
  const watching = (async () => {
    while (!over.signal.aborted) {
      const seen = await look(fleet)
      isOpen = seen?.models.every(({ hold }) => hold === null) ?? false
      if (seen === undefined) current.clear()
      for (const { model, hold } of seen?.models ?? []) {
        const span = current.get(model)
        if (hold === null) current.delete(model)
        else if (span?.cause === hold.cause) span.untilMs = Date.now()
        else {
          const begun = { model, cause: hold.cause, fromMs: Date.now(), untilMs: Date.now() }
          current.set(model, begun)
          spans.push(begun)
        }
      }
      await sleep(everyMs, undefined, { signal: over.signal }).catch(() => {}) // over
    }
  })()
  return {
    spans,
    async open() {
      while (!isOpen) await sleep(everyMs)
    },
    async stop() {
      over.abort()
      await watching
    },
  }
}

interface Stats {
  statistics: { degraded: boolean }
  models: { model: string; hold: { cause: string } | null }[]
}

async function look(fleet: Fleet): Promise<Stats | undefined> {
  for (const { url, process } of fleet.of('gateway')) {
    if (process === undefined) continue
    const signal = AbortSignal.timeout(500)
    const reply = await ask(`${url}/api/quota/stats`, { method: 'GET', headers: {}, signal }).catch(() => undefined)
    if (reply?.status !== 200) continue
    const stats = JSON.parse(reply.body.toString()) as Stats
    if (!stats.statistics.degraded) return stats
  }
  return undefined // no gateway is up and sees Redis
}

/** Seconds by cause. */
export function heldSeconds(spans: readonly HoldSpan[]): Map<string, number> {
  const seconds = new Map<string, number>()
  for (const { cause, fromMs, untilMs } of spans)
    seconds.set(cause, (seconds.get(cause) ?? 0) + (untilMs - fromMs) / 1000)
  return seconds
}

/** Calls that came to Gemini while a hold was seen, and were not on their way when it began. */
export function callsDuringHolds(
  calls: readonly Arrival[],
  spans: readonly HoldSpan[],
  onTheWayMs: number,
): readonly string[] {
  return spans.flatMap(({ model, cause, fromMs, untilMs }) =>
    calls
      .filter((call) => call.model === model)
      .filter(({ atMs }) => atMs > fromMs + onTheWayMs && atMs < untilMs)
      .map(
        ({ atMs, task }) =>
          `a ${task} call of ${model} came ${Math.round(atMs - fromMs)} ms after a hold (${cause}) was seen`,
      ),
  )
}
