import type { Fleet } from './fleet.ts'

export interface LogFindings {
  /** Lines that no process may ever write: internal errors, uncaught ones, warnings of Node, anything that is no log line. */
  forbidden: string[]
  /** How often Redis could not be used by a part of a process. */
  degraded: number
  /** How often a process saw that the quota was put on hold. */
  holds: number
}

/** Reads everything that every process of ours has written. */
export function readLogs(fleet: Pick<Fleet, 'members' | 'outputs'>): LogFindings {
  const findings: LogFindings = { forbidden: [], degraded: 0, holds: 0 }
  for (const member of fleet.members) {
    for (const { output, killed } of fleet.outputs(member)) {
      const lines = output.split('\n')
      const last = lines.pop()
      if (last !== '' && last !== undefined && !killed) lines.push(last) // a killed process may end in the middle of a line
      for (const line of lines.filter(Boolean)) judge(line, member.name, findings)
    }
  }
  return findings
}

const fatalLevel = 60

function judge(line: string, from: string, findings: LogFindings): void {
  const entry = parse(line)
  if (entry === undefined || Number(entry.level) >= fatalLevel || entry.error === 'internal_error' || isUncaught(line))
    findings.forbidden.push(`${from}: ${line.slice(0, 600)}`)
  else if (String(entry.msg).startsWith('redis unavailable')) findings.degraded += 1
  else if (String(entry.msg).startsWith('quota on hold')) findings.holds += 1
}

function isUncaught(line: string): boolean {
  return /unhandled ?rejection|uncaught/i.test(line)
}

function parse(line: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(line) as Record<string, unknown>
  } catch {
    return undefined
  }
}
