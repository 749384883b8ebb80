import { createServer } from 'node:http'

/** A service that takes DELAY_MS for each answer, however many it is asked for: what is slower than that is before it. */
const delayMs = Number(process.env.DELAY_MS)

createServer((request, reply) => {
  request.resume()
  const answer = () => reply.writeHead(200, { 'content-type': 'application/json' }).end('{}')
  setTimeout(answer, request.url === '/health' ? 0 : delayMs)
}).listen(Number(process.env.PORT), process.env.HOST)
