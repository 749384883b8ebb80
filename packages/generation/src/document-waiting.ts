import type { FastifySchema } from 'fastify'

interface Answer {
  description: string
  headers: object
}

const description = [
  'What cannot start now is a 429 at once, unless the request may wait in line for the quota.',
  '`Prefer: wait=20` (RFC 7240): it waits for a start within 20 seconds, at most `MAX_WAIT_SECONDS`, and is answered then;',
  'when no start will come in that time, the 429 comes at once.',
  '`Accept: text/event-stream`: it waits for up to `MAX_STREAM_WAIT_SECONDS`, and the answer is server-sent events.',
].join(' ')

const prefer = {
  type: 'string',
  examples: ['wait=20'],
  description: 'How many seconds the request may wait in line. A preference that cannot be read is ignored',
}

const applied = {
  type: 'string',
  pattern: '^wait=[0-9]+$',
  description: 'How long the request may have waited; absent when it did not ask to wait',
}

const events = {
  type: 'string',
  description: [
    'Events with JSON data. `waiting` {starts_in_seconds, position}: the place in line, whenever it changes; position counts the calls before it.',
    '`item` {index, …}: a finished explanation of a presentation, in order of completion, index counts from 0 in `focus`.',
    '`result`: the whole answer of the other operations. `done` {success_count, failed_count}: the end.',
    '`error` {error, message}: a failure after the first event; before it a failure is a status. A comment comes every 10 s.',
  ].join(' '),
}

/**
 * Adds to the documentation of a learning POST what `answerLearning` does. Not a part of its schema, by which answers are
 * serialised. For `config.swaggerTransform`.
 */
export function documentWaiting({ schema, url }: { schema: FastifySchema; url: string }) {
  const response = schema.response as Record<string, Answer>
  const { headers, ...json } = response[200] as Answer
  const answer = {
    description: json.description,
    headers: { ...headers, 'Preference-Applied': applied },
    content: { 'application/json': { schema: json }, 'text/event-stream': { schema: events } },
  }
  return {
    url,
    schema: {
      ...schema,
      description,
      headers: { type: 'object', properties: { Prefer: prefer } },
      response: { ...response, 200: answer },
    },
  }
}
