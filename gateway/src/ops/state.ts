import { byUse, type ServiceSnapshot } from '@knowalledge/generation/activity'
import type { QuotaUsage, WindowUsage } from '@knowalledge/quota-client'
import type { ProcessSnapshot } from '@knowalledge/service-kit'
import type { ClientUse, FaultRow, Instance, Limit, Model, OpsState, Pool } from '@knowalledge/web/ops-state'

/** A process that the gateway knows, and what it said; undefined: it did not answer. */
export interface Seen {
  service: string
  url: string
  snapshot: ProcessSnapshot | ServiceSnapshot | undefined
}

/** Where the runbook says what to do, by a part of the log line. */
const runbookSections: [RegExp, string][] = [
  [/^quota on hold/, 'quotaonhold'],
  [/^redis unavailable/, 'redisnotwritable'],
  [/^Gemini call failed rate_limited/, 'upstreamratelimited'],
  [/^Gemini call failed|^GEMINI_API_KEY/, 'geminierrors'],
  [/^overloaded/, 'eventlooplag'],
  [/^The service|^No instance/, 'servicedown'],
]

/** Puts together what the processes said. `usage` is of each pool, by its name. */
export function stateOf(seen: readonly Seen[], usage: Record<string, QuotaUsage>): OpsState {
  const snapshots = seen.flatMap(({ snapshot }) => snapshot ?? [])
  const services = snapshots.filter((snapshot): snapshot is ServiceSnapshot => 'clients' in snapshot)
  return {
    atMs: Date.now(),
    pools: Object.entries(usage).map(([name, pool]) => poolOf(name, pool)),
    instances: seen.map(instanceOf),
    cache: summed(snapshots.map(({ counts }) => counts.cache)),
    gemini: geminiOf(snapshots),
    refused: summed(snapshots.map(({ counts }) => counts.refused)),
    waiting: services.flatMap(({ waiting }) => waiting).sort((a, b) => b.waitedMs - a.waitedMs),
    clients: clientsOf(services),
    needsToken: false,
    faults: faultsOf(snapshots),
  }
}

/** The same without the names of clients. */
export function withoutClients(state: OpsState, needsToken: boolean): OpsState {
  const waiting = state.waiting.map((call) => ({ ...call, client: '' }))
  return { ...state, waiting, clients: null, needsToken }
}

function poolOf(name: string, usage: QuotaUsage): Pool {
  const { requests, tokens, queue, hold, pause, degraded, unavailable } = usage
  const isHeld = hold !== null || pause !== null || degraded
  const limitOf = (limit: Limit['name'], window: WindowUsage): Limit => {
    const used = Math.min(window.current, window.limit)
    const free = isHeld ? 0 : Math.min(window.remaining, window.limit - used)
    return {
      name: limit,
      limit: window.limit,
      used,
      free,
      held: window.limit - used - free,
      resetsInMs: window.resetsInMs,
    }
  }
  const lineOf = ({ length, startsInMs }: QuotaUsage['queue']['batch']) => ({
    length,
    startsInMs: Number.isFinite(startsInMs) ? startsInMs : null,
  })
  return {
    name,
    hold,
    pause,
    degraded,
    unavailable,
    limits: [
      limitOf('rpm', requests.perMinute),
      limitOf('tpm', tokens.perMinute),
      limitOf('rpd', requests.perDay),
      limitOf('tpd', tokens.perDay),
    ],
    queue: { interactive: lineOf(queue.interactive), batch: lineOf(queue.batch) },
  }
}

function instanceOf({ service, url, snapshot }: Seen): Instance {
  if (snapshot === undefined) return { service, url, isUp: false }
  const { version, uptimeSeconds, memoryBytes, eventLoopDelayMs } = snapshot
  return { service, url, isUp: true, version, uptimeSeconds, memoryBytes, eventLoopDelayMs }
}

function geminiOf(snapshots: readonly ProcessSnapshot[]): Model[] {
  const all = snapshots.flatMap(({ counts }) => counts.gemini)
  return [...Map.groupBy(all, ({ model }) => model)].map(([model, parts]) => ({
    model,
    calls: summed(parts.map(({ calls }) => calls)),
    within: summed(parts.map(({ within }) => within)),
    tokens: parts.reduce((sum, { tokens }) => sum + tokens, 0),
    seconds: parts.reduce((sum, { seconds }) => sum + seconds, 0),
  }))
}

function clientsOf(services: readonly ServiceSnapshot[]): ClientUse[] {
  const total = new Map<string, ClientUse>()
  for (const use of services.flatMap(({ clients }) => clients)) {
    const sum = total.get(use.client)
    if (sum === undefined) total.set(use.client, { ...use })
    else {
      for (const key of ['questions', 'failed', 'geminiCalls', 'tokens'] as const) sum[key] += use[key]
      sum.lastAtMs = Math.max(sum.lastAtMs, use.lastAtMs)
    }
  }
  return [...total.values()].sort(byUse)
}

function faultsOf(snapshots: readonly ProcessSnapshot[]): FaultRow[] {
  const all = snapshots.flatMap(({ service, faults }) => faults.map((fault) => ({ ...fault, service })))
  const alike = Map.groupBy(all, ({ message, kind }) => `${message}\n${kind}`)
  const rows = [...alike.values()].map((faults): FaultRow => {
    const newest = faults.reduce((a, b) => (b.atMs > a.atMs ? b : a))
    const { service: _, ...fault } = newest
    const text = `${fault.message} ${fault.kind}`
    return {
      ...fault,
      count: faults.reduce((sum, { count }) => sum + count, 0),
      services: [...new Set(faults.map(({ service }) => service))],
      runbook: runbookSections.find(([pattern]) => pattern.test(text))?.[1],
    }
  })
  return rows.sort((a, b) => b.atMs - a.atMs).slice(0, 30)
}

function summed<K extends string>(parts: readonly Partial<Record<K, number>>[]): Partial<Record<K, number>> {
  const total: Partial<Record<K, number>> = {}
  for (const part of parts) for (const key in part) total[key] = (total[key] ?? 0) + (part[key] ?? 0)
  return total
}
