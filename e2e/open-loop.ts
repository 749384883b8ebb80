import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Arrival {
  status: number
  /** From when the request was due, sent or not, to its answer. */
  latencyMs: number
  /** Head and body. */
  text: string
}

interface Load {
  path: string
  perSecond: number
  seconds: number
}

/**
 * Asks at a steady rate whether there are answers or not, as a crowd does; a closed loop would slow down with the server.
 * By plain sockets, one request at a time on each, so that it costs the machine as little as can be. Answers come in one piece.
 */
export async function openLoop(url: string, { path, perSecond, seconds }: Load): Promise<Arrival[]> {
  const arrivals: Arrival[] = []
  const port = Number(new URL(url).port)
  const request = `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`
  const idle: Line[] = []
  const lines: Line[] = []
  const ask = (dueMs: number) => {
    const line = idle.pop() ?? openLine(port, lines)
    line.answered = (text) => {
      idle.push(line)
      arrivals.push({ status: Number(text.slice(9, 12)), latencyMs: performance.now() - dueMs, text })
    }
    line.socket.write(request)
  }
  const total = perSecond * seconds
  const startMs = performance.now()
  for (let sent = 0; sent < total; await sleep(1)) {
    const due = Math.min(total, ((performance.now() - startMs) / 1000) * perSecond)
    for (; sent < due; sent++) ask(startMs + (1000 * sent) / perSecond)
  }
  while (arrivals.length < total) await sleep(10)
  for (const { socket } of lines) socket.destroy()
  return arrivals
}

interface Line {
  socket: Socket
  answered: (text: string) => void
}

function openLine(port: number, lines: Line[]): Line {
  const line: Line = { socket: connect(port, '127.0.0.1').setEncoding('latin1').setNoDelay(), answered: () => {} }
  line.socket.on('data', (text) => line.answered(String(text)))
  lines.push(line)
  return line
}

/** Nearest rank. */
export function percentile(values: number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other)
  return sorted[Math.ceil(share * sorted.length) - 1] ?? Number.NaN
}
