import { readSync, writeFileSync } from 'node:fs'
import type { DecoderReply, DecoderRequest } from './decoder-messages.ts'
import { decodeImage, type InspectedImage, inspectImage } from './image.ts'
import { ImageError } from './image-error.ts'

/** The process of a `Decoder`. It has no settings and no secrets, and may be killed at any time. */

let inspected: InspectedImage | undefined
/** Kept from image to image: new pages cost as much as filling them. */
let input = Buffer.alloc(0)

process.on('message', async (request: DecoderRequest) => {
  reply(await (request.kind === 'inspect' ? inspect(request.bytes) : decode()).catch(refusal))
})
process.on('disconnect', () => process.exit())
// Ctrl-C reaches every process of a terminal: the service finishes what is in flight, and needs its decoders for that.
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => {})
preferForOutOfMemoryKill()
reply({ kind: 'ready' })

async function inspect(bytes: number): Promise<DecoderReply> {
  inspected = undefined // one that was not decoded, as its client had left
  inspected = await inspectImage(readInput(bytes))
  return { kind: 'inspected', decodedBytes: inspected.decodedBytes }
}

async function decode(): Promise<DecoderReply> {
  if (!inspected) throw new Error('there is nothing to decode')
  const image = await decodeImage(inspected)
  inspected = undefined
  return { kind: 'prepared', image }
}

function refusal(error: unknown): DecoderReply {
  inspected = undefined
  if (error instanceof ImageError) return { kind: 'refused', problem: error.problem, message: error.message }
  throw error // and so end: nobody knows what state this process is in
}

/** Synchronously: this process has nothing else to do, and as a message the bytes would be copied twice more. */
function readInput(bytes: number): Uint8Array {
  if (input.length < bytes) input = Buffer.allocUnsafeSlow(bytes)
  for (let filled = 0; filled < bytes; ) {
    const read = readSync(0, input, filled, bytes - filled, null)
    if (read === 0) process.exit() // the service is gone
    filled += read
  }
  return input.subarray(0, bytes)
}

function reply(message: DecoderReply): void {
  process.send?.(message)
}

/** Should a container's memory run out after all, Linux kills this process and not the service. */
function preferForOutOfMemoryKill(): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', '1000')
  } catch {
    // not Linux: there is no such choice
  }
}
