import type { FleetLink } from './fleet-link.ts'
import type { Group, Waiting } from './group.ts'
import { type Ask, longestRefusal, type Shortfall, type Taken } from './store.ts'

/** Decides within this instance's share, and notes what was taken for the next report. */
export function decideAlone(link: FleetLink, ask: Ask): Taken | Shortfall {
  const { gate, books } = link
  const nowMs = link.nowMs()
  const alone = link.alone ?? link.stepAside(new Error('Redis does not answer'))
  const shut = gate.shut(nowMs)
  const paused = shut && { ...shut, reason: 'paused' as const, tenantRefused: false }
  const refusal = paused ?? alone.refusal(ask, nowMs)
  if (refusal !== undefined) return { ...refusal, granted: false, degraded: true }
  const charge = { ...alone.charge(ask, nowMs), tenant: ask.tenant, report: books.nextReport }
  books.pool.grantedAlone(charge, ask)
  if (ask.tenant) books.tenant(ask.tenant.id).grantedAlone(charge, ask)
  const probe = gate.pass(nowMs)
  return { granted: true, degraded: true, charge, ...(probe !== undefined && { probeOfPauseMs: probe }) }
}

/** After a fault, until all have reported, Redis and the share must both agree: answers what the share does not hold. */
export function keepToShare(link: FleetLink, group: Group): void {
  if (link.alone === undefined) return // nearly always
  const nowMs = link.nowMs()
  link.leavePhase(nowMs)
  const { alone } = link
  if (alone === undefined) return
  const leftMs = link.holdUntilMs - nowMs
  const held = leftMs > 0 ? ({ limitType: 'rpm', retryAfterMs: Math.ceil(leftMs) } as const) : undefined
  group.keep((waiting) => {
    giveBackShare(link, waiting)
    const refusal = longestRefusal(undefined, held, undefined) ?? alone.refusal(waiting.ask, nowMs)
    if (refusal !== undefined) waiting.answer({ ...refusal, granted: false, degraded: true })
    else waiting.shareCharge = alone.charge(waiting.ask, nowMs)
    return refusal === undefined
  })
}

/** Redis has refused, or not answered, what the share held. */
export function giveBackShare(link: FleetLink, waiting: Waiting): void {
  const { ask, shareCharge } = waiting
  if (shareCharge === undefined) return
  const by = { requests: -ask.requests, tokens: -ask.tokens }
  link.alone?.adjust({ ...shareCharge, tenant: ask.tenant }, by)
  waiting.shareCharge = undefined
}
