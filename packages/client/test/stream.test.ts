import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import t from 'tap'
import type { StreamEvent } from '../src/index.ts'
import { clientForTest, sendJson, subtopics } from './server-for-test.ts'

const done = { event: 'done', data: { success_count: 1, failed_count: 0 } }
const doneText = 'event: done\ndata: {"success_count":1,"failed_count":0}\n\n'
const question = { topic: 'Light', educationLevel: 'any', levelOfDetail: 'any', focus: ['Prisms', 'الضوء'] }
const explanation = {
  subtopic: 'الضوء',
  explanation: '光は波です 🌈',
  real_world_application: 'x',
  youtube_search_query: 'x',
  quality_score: 1,
  cached: false,
  from_fallback: false,
  error: null,
}

const openStream = (reply: ServerResponse) =>
  reply.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })

async function collect<T>(events: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const event of events) all.push(event)
  return all
}

t.test('yields waiting, items and done, typed', async (t) => {
  const { client, requests } = await clientForTest(t, (_request, reply) => {
    openStream(reply).write('event: waiting\ndata: {"starts_in_seconds":12,"position":3}\n\n')
    reply.write(`event: item\ndata: ${JSON.stringify({ index: 1, ...explanation })}\n\n`)
    reply.end(doneText)
  })
  const events = await collect<StreamEvent<'create_presentation'>>(client.stream('create_presentation', question))
  t.strictSame(events, [
    { event: 'waiting', data: { starts_in_seconds: 12, position: 3 } },
    { event: 'item', data: { index: 1, ...explanation } },
    done,
  ])
  t.match(requests[0]?.headers.accept, /^text\/event-stream/)
})

const texts = {
  LF: `event: item\ndata: ${JSON.stringify(explanation)}\n\n${doneText}`,
  'CR LF': `event: item\r\ndata: ${JSON.stringify(explanation)}\r\n\r\n${doneText.replaceAll('\n', '\r\n')}`,
  CR: `event: item\rdata: ${JSON.stringify(explanation)}\r\r${doneText.replaceAll('\n', '\r')}`,
  'a byte order mark, comments, retry, ids and unknown events': `\uFEFF:\n: hello\n\nretry: 5\nid: 7\nevent: item\n: between\ndata:${JSON.stringify(explanation)}\n\nevent: news\ndata: no JSON\n\nevent: done\n\n${doneText}`,
  'data in several lines': `event: item\ndata: ${JSON.stringify(explanation, null, 1).replaceAll('\n', '\ndata: ')}\n\n${doneText}`,
}

for (const [name, text] of Object.entries(texts)) {
  t.test(`understands ${name}, however it is cut into chunks`, async (t) => {
    const bytes = Buffer.from(text)
    for (const size of [1, 2, 3, 7, bytes.length]) {
      const stream = new ReadableStream<Uint8Array>({
        start(controller) {
          for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.subarray(at, at + size))
          controller.close()
        },
      })
      const { client } = await clientForTest(t, () => {}, {
        fetch: async () => new Response(stream, { headers: { 'content-type': 'text/event-stream' } }),
      })
      const events = await collect(client.stream('create_presentation', question))
      t.strictSame(events, [{ event: 'item', data: explanation }, done], `in chunks of ${size}`)
    }
  })
}

t.test('joins a large event of many chunks in linear time', async (t) => {
  const cpuMsOf = async (length: number) => {
    const { client } = await clientForTest(t, (_request, reply) => {
      const data = JSON.stringify({ ...subtopics, subtopics: ['x'.repeat(length)] })
      const chunks = [`event: result\ndata: `, ...(data.match(/.{1,1000}/g) ?? []), '\n\n', doneText]
      openStream(reply)
      for (const chunk of chunks) reply.write(chunk)
      reply.end()
    })
    const before = process.cpuUsage()
    const [result] = await collect(client.stream('create_subtopics', { topic: 'x' }))
    t.ok(result?.event === 'result' && result.data.subtopics[0]?.length === length)
    const { user, system } = process.cpuUsage(before)
    return (user + system) / 1_000
  }
  await cpuMsOf(1_000_000) // warm
  const small = await cpuMsOf(2_000_000)
  const large = await cpuMsOf(8_000_000)
  t.ok(large < 4 * small * 3, `2 MB took ${small.toFixed()} ms of CPU, 8 MB ${large.toFixed()} ms`)
})

t.test('a connection that is cut, or ends before done, is a connection_lost after the finished items', async (t) => {
  const ends = { cut: (reply: ServerResponse) => reply.destroy(), ended: (reply: ServerResponse) => reply.end() }
  for (const [name, end] of Object.entries(ends)) {
    const { client, requests } = await clientForTest(t, (_request, reply) => {
      openStream(reply).write(`event: item\ndata: ${JSON.stringify(explanation)}\n\nevent: done\ndata: {"succ`, () =>
        setImmediate(end, reply),
      )
    })
    const seen: unknown[] = []
    const reading = (async () => {
      for await (const event of client.stream('create_presentation', question)) seen.push(event)
    })()
    await t.rejects(reading, { code: 'connection_lost', status: 200 }, name)
    t.equal(seen.length, 1, `${name}: what came before is not lost`)
    t.equal(requests.length, 1, `${name}: a POST is not sent again`)
  }
})

t.test('an error that comes later than the status rejects', async (t) => {
  const { client } = await clientForTest(t, (_request, reply) => {
    openStream(reply).end('event: error\ndata: {"error":"gemini_unavailable","message":"Try again."}\n\n')
  })
  await t.rejects(collect(client.stream('create_subtopics', { topic: 'x' })), {
    code: 'gemini_unavailable',
    message: 'Try again.',
  })
})

t.test('leaving the loop or aborting closes the connection', async (t) => {
  const closed: Promise<unknown>[] = []
  const { client } = await clientForTest(t, (_request, reply) => {
    closed.push(once(reply, 'close'))
    openStream(reply).write('event: waiting\ndata: {"starts_in_seconds":12,"position":3}\n\n')
  })
  for await (const { event } of client.stream('create_subtopics', { topic: 'x' })) {
    t.equal(event, 'waiting')
    break
  }
  await closed[0]

  const abort = new AbortController()
  const reading = (async () => {
    for await (const _event of client.stream('create_subtopics', { topic: 'x' }, { signal: abort.signal }))
      abort.abort(new Error('the learner left'))
  })()
  await t.rejects(reading, { message: 'the learner left' })
  await closed[1]
})

t.test('plain JSON gives the same events: a result, or an item for each explanation, and done', async (t) => {
  const { client } = await clientForTest(t, ({ url }, reply) => {
    if (url === '/api/create_subtopics') return sendJson(reply, 200, subtopics)
    const failed = { ...explanation, explanation: null, error: 'Refused.' }
    sendJson(reply, 200, { explanations: [failed, explanation], success_count: 1, failed_count: 1 })
  })
  t.strictSame(await collect(client.stream('create_subtopics', { topic: 'x' })), [
    { event: 'result', data: subtopics },
    done,
  ])
  t.strictSame(await collect(client.stream('create_presentation', question)), [
    { event: 'item', data: { index: 0, ...explanation, explanation: null, error: 'Refused.' } },
    { event: 'item', data: { index: 1, ...explanation } },
    { event: 'done', data: { success_count: 1, failed_count: 1 } },
  ])
})
