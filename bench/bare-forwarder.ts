// A forwarder of node:http with nothing else: the least that passing a request on to Gemini costs. HOST, PORT and UPSTREAM,
// a URL, come from the environment.
import { Agent, createServer, request } from 'node:http'

const { HOST = '127.0.0.1', PORT, UPSTREAM = '' } = process.env
const { hostname, port } = new URL(UPSTREAM)
const agent = new Agent({ keepAlive: true })

createServer((incoming, outgoing) => {
  const { method, url: path, headers } = incoming
  const forwarded = request({ agent, hostname, port, method, path, headers }, (answer) => {
    outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
    answer.pipe(outgoing)
  })
  forwarded.on('error', () => outgoing.writeHead(502).end())
  incoming.pipe(forwarded)
}).listen(Number(PORT), HOST)
