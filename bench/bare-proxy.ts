// @fastify/http-proxy with nothing else. HOST, PORT and UPSTREAM, a URL, come from the environment.
import { createRequire } from 'node:module'
import type { FastifyPluginAsync } from 'fastify'
import Fastify from 'fastify'

const httpProxy = createRequire(new URL('../gateway/src/app.ts', import.meta.url))(
  '@fastify/http-proxy',
) as FastifyPluginAsync<{
  upstream: string
}>
const { HOST = '127.0.0.1', PORT, UPSTREAM = '' } = process.env

const app = Fastify()
app.register(httpProxy, { upstream: UPSTREAM })
await app.listen({ host: HOST, port: Number(PORT) })
