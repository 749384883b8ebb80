import type { MultipartFile } from '@fastify/multipart'
import { HttpError } from '@knowalledge/service-kit'
import type { FastifyRequest } from 'fastify'
import { maxImageBytes } from './limits.ts'
import type { UploadBuffer } from './upload-memory.ts'

export interface Upload {
  /** Of the buffer that it was read into. */
  content: Uint8Array[]
  language: string | undefined
}

const oneFile = 'Send exactly one image as multipart/form-data in the field `image`'

/** Reads the form as a stream: one file in `image`, at most 10 MiB, kept in memory only; `language` beside it is optional. */
export async function readUpload(request: FastifyRequest, buffer: UploadBuffer): Promise<Upload> {
  if (!request.isMultipart()) {
    throw new HttpError('unsupported_media_type', `The body is not multipart/form-data. ${oneFile}.`)
  }
  let content: Uint8Array[] | undefined
  let language: string | undefined
  try {
    for await (const part of request.parts()) {
      if (part.type === 'field') {
        if (part.fieldname === 'language' && typeof part.value === 'string') language = part.value
        continue
      }
      if (part.fieldname !== 'image')
        throw new HttpError('invalid_input', `There is a file in ${nameOf(part.fieldname)}. ${oneFile}.`)
      if (content) throw new HttpError('invalid_input', `image holds more than one file. ${oneFile}.`)
      content = await readFile(part.file, buffer)
    }
  } catch (error) {
    throw uploadError(error as Error & { code?: string })
  }
  if (!content) throw new HttpError('invalid_input', `image is missing. ${oneFile}.`)
  return { content, language }
}

/** A file that is rejected is read to its end and dropped: busboy cannot be stopped in the middle of one. */
async function readFile(file: MultipartFile['file'], buffer: UploadBuffer): Promise<Uint8Array[]> {
  let rejection: unknown
  for await (const chunk of file) {
    if (rejection !== undefined) continue
    try {
      if (file.truncated) throw tooLarge()
      buffer.append(chunk)
    } catch (error) {
      rejection = error
      buffer.release()
    }
  }
  if (rejection !== undefined) throw rejection
  return buffer.content
}

function nameOf(fieldname: string | undefined): string {
  return fieldname === undefined ? 'a field without a name' : `\`${fieldname}\``
}

function uploadError(error: Error & { code?: string }): Error {
  if (error instanceof HttpError) return error
  if (error.code === 'FST_REQ_FILE_TOO_LARGE') return tooLarge()
  if (error.code?.endsWith('_LIMIT')) {
    return new HttpError('payload_too_large', `The form has too many parts. ${oneFile}, and \`language\` if you like.`)
  }
  // busboy's own errors have no code: a form cut short, a missing boundary, a broken header.
  return new HttpError('invalid_input', `The multipart body is broken or cut short. ${oneFile}.`, { cause: error })
}

function tooLarge(): HttpError {
  return new HttpError(
    'payload_too_large',
    `image is larger than ${maxImageBytes / 1024 / 1024} MiB (${maxImageBytes} bytes).`,
  )
}
