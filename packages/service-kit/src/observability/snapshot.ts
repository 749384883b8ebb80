import { monitorEventLoopDelay } from 'node:perf_hooks'
import { type AppMetrics, type Counts, countsOf } from '@knowalledge/metrics'
import packageJson from '../../package.json' with { type: 'json' }
import type { Fault, RecentFaults } from './faults.ts'

/** How a process is, in its own words. */
export interface ProcessSnapshot {
  service: string
  version: string
  uptimeSeconds: number
  /** Resident memory. */
  memoryBytes: number
  /** 99th percentile since the last snapshot. */
  eventLoopDelayMs: number
  counts: Counts
  faults: Fault[]
}

interface SnapshotOptions {
  service: string
  metrics: Pick<AppMetrics, 'registry'>
  logger: { readonly recentFaults?: RecentFaults }
}

const resolutionMs = 20

/** The delay of the event loop is measured from the first snapshot on, so a process that nobody looks at pays nothing. */
export function processSnapshots({ service, metrics, logger }: SnapshotOptions): () => Promise<ProcessSnapshot> {
  const delay = monitorEventLoopDelay({ resolution: resolutionMs })
  return async () => {
    delay.enable()
    const eventLoopDelayMs = delay.count === 0 ? 0 : Math.max(0, delay.percentile(99) / 1e6 - resolutionMs)
    delay.reset()
    const faults = logger.recentFaults?.all() ?? []
    return {
      service,
      version: packageJson.version,
      uptimeSeconds: Math.floor(process.uptime()),
      memoryBytes: process.memoryUsage.rss(),
      eventLoopDelayMs: Math.round(eventLoopDelayMs),
      counts: await countsOf(metrics.registry),
      // Apps in one process share a logger.
      faults: faults.filter((fault) => fault.service === undefined || fault.service === service),
    }
  }
}
