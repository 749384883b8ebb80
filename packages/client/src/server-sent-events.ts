export interface ServerSentEvent {
  event: string
  data: string
}

/** An image is the largest data that a server sends; what is longer than this is not a stream of events. */
const maxEventLength = 64 * 1024 * 1024

/**
 * The events of a `text/event-stream`, as the HTML standard parses it; `id` and `retry` are ignored, and so is an event
 * that the end of the stream cuts off. Cancels the stream when its reader stops.
 */
export async function* serverSentEvents(stream: ReadableStream<Uint8Array>): AsyncGenerator<ServerSentEvent> {
  const reader = stream.getReader()
  const decoder = new TextDecoder() // drops the byte order mark, and joins characters that chunks cut
  const lines = new LineSplitter()
  let event = ''
  let data: string[] = []
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      for (const line of lines.push(decoder.decode(value, { stream: true }))) {
        if (line === '') {
          if (data.length > 0) yield { event: event || 'message', data: data.join('\n') }
          event = ''
          data = []
          continue
        }
        const [field, text] = fieldOf(line)
        if (field === 'event') event = text
        else if (field === 'data') data.push(text)
      }
    }
  } finally {
    await reader.cancel().catch(() => {}) // it may have failed already
  }
}

/** A comment, which starts with a colon, has an empty name. */
function fieldOf(line: string): [name: string, value: string] {
  const colon = line.indexOf(':')
  if (colon === -1) return [line, '']
  const value = line.slice(colon + 1)
  return [line.slice(0, colon), value.startsWith(' ') ? value.slice(1) : value]
}

/** Lines end with CR LF, LF or CR. A CR that ends a chunk may be half of a CR LF. */
class LineSplitter {
  /** Parts of a line whose end has not come: joined once, so that a long line takes linear time. */
  #parts: string[] = []
  #length = 0
  #afterCr = false

  push(chunk: string): string[] {
    const text = this.#afterCr && chunk.startsWith('\n') ? chunk.slice(1) : chunk
    if (chunk !== '') this.#afterCr = chunk.endsWith('\r')
    const [first = '', ...rest] = text.split(/\r\n|\n|\r/)
    this.#parts.push(first)
    this.#length += first.length
    if (this.#length > maxEventLength) throw new Error('A line of the stream of events is too long.')
    if (rest.length === 0) return []
    const lines = [this.#parts.join(''), ...rest]
    const unfinished = lines.pop() ?? ''
    this.#parts = [unfinished]
    this.#length = unfinished.length
    return lines
  }
}
