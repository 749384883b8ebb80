import type { Arrival, EmulatorCounters, FaultSpec } from '@knowalledge/gemini-emulator'
import type { TestProcess } from '@knowalledge/testing'

/** The emulator as the proof uses it: over HTTP, like everything else. */
export interface Emulator {
  process: TestProcess
  counters(): Promise<EmulatorCounters>
  /** Every call that would take quota, by the time at which it came. */
  arrivals(): Promise<Arrival[]>
  addFault(fault: FaultSpec): Promise<void>
  clearFaults(): Promise<void>
}

export function emulatorAt(process: TestProcess): Emulator {
  const ask = async (path: string, init?: RequestInit): Promise<Response> => {
    const reply = await fetch(`${process.url}/emulator/${path}`, init)
    if (!reply.ok) throw new Error(`the emulator's ${path} says ${reply.status}: ${await reply.text()}`)
    return reply
  }
  const headers = { 'content-type': 'application/json' }
  return {
    process,
    counters: async () => (await (await ask('counters')).json()) as EmulatorCounters,
    arrivals: async () => ((await (await ask('arrivals')).json()) as { arrivals: Arrival[] }).arrivals,
    addFault: async (fault) => void (await ask('faults', { method: 'POST', headers, body: JSON.stringify(fault) })),
    clearFaults: async () => void (await ask('faults', { method: 'DELETE' })),
  }
}
