// The least that a service can be: bare Fastify, one route, the bytes and headers that text-generation answers with from
// memory, learned from it at the start. HOST, PORT and ANSWERS_FROM, a URL, come from the environment.
import Fastify from 'fastify'
import { paths } from './cache-questions.ts'

const { HOST = '127.0.0.1', PORT, ANSWERS_FROM } = process.env
const answers = new Map(await Promise.all(paths.map(async (path) => [path, await answerTo(path)] as const)))

const app = Fastify()
app.get('/api/subtopics', (request, reply) => {
  const answer = answers.get(request.url)
  if (answer === undefined) return reply.code(404).send()
  return reply.headers(answer.headers).send(answer.body)
})
await app.listen({ host: HOST, port: Number(PORT) })

async function answerTo(path: string): Promise<{ headers: Record<string, string>; body: string }> {
  const reply = await fetch(ANSWERS_FROM + path)
  if (reply.headers.get('x-cache') !== 'memory') throw new Error(`${path} is not answered from memory`)
  const headers = Object.fromEntries(reply.headers)
  for (const madeByNode of ['connection', 'keep-alive', 'date', 'content-length']) delete headers[madeByNode]
  return { headers, body: await reply.text() }
}
