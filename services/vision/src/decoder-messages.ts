import type { PreparedImage } from './image.ts'
import type { ImageProblem } from './image-error.ts'

/** From the service to a decoder's process. The bytes of an `inspect` follow on standard input; `decode` is for the last one. */
export type DecoderRequest = { kind: 'inspect'; bytes: number } | { kind: 'decode' }

/** `ready` comes once; each `inspect` and each `decode` has one of the others. */
export type DecoderReply =
  | { kind: 'ready' }
  | { kind: 'inspected'; decodedBytes: number }
  | { kind: 'prepared'; image: PreparedImage }
  | { kind: 'refused'; problem: ImageProblem; message: string }
