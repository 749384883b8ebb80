// A service that costs next to nothing: reads what it is sent and answers with the same JSON. HOST and PORT come from the environment.
import { createServer } from 'node:http'

const { HOST = '127.0.0.1', PORT } = process.env
const subtopics = Array.from({ length: 15 }, (_, at) => `Subtopic ${at + 1} of a topic as long as they usually are`)
const body = JSON.stringify({
  subtopics,
  count: 15,
  quality_score: 1,
  warnings: [],
  cached: true,
  from_fallback: false,
})
const headers = {
  'content-type': 'application/json; charset=utf-8',
  'content-length': String(Buffer.byteLength(body)),
  'cache-control': 'no-store',
  'x-cache': 'memory',
}

createServer((request, response) => {
  request.resume().once('end', () => response.writeHead(200, headers).end(body))
}).listen(Number(PORT), HOST)
