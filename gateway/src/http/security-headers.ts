import { IncomingMessage, type OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import cors, { type FastifyCorsOptions } from '@fastify/cors'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import helmet, { type HelmetOptions } from 'helmet'
import { originsOf } from '../admission/settings.ts'

/**
 * What browsers are told of every answer: nothing in it is to be run, framed or read by other pages, except by those of
 * CORS_ORIGINS. HTTPS for ever (HSTS) is said by whoever ends TLS.
 */
export const securityHeaders = fp<{ CORS_ORIGINS: string }>(
  async (app, { CORS_ORIGINS }) => {
    const headers = headersOf({
      contentSecurityPolicy: {
        useDefaults: false,
        directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
      },
      frameguard: { action: 'deny' },
      // A page that may ask may also show pictures.
      crossOriginResourcePolicy: { policy: CORS_ORIGINS === '' ? 'same-origin' : 'cross-origin' },
      strictTransportSecurity: false,
      // For Internet Explorer, Flash and pages: an API has no use for them.
      originAgentCluster: false,
      xDnsPrefetchControl: false,
      xDownloadOptions: false,
      xPermittedCrossDomainPolicies: false,
      xXssProtection: false,
    })
    app.addHook('onRequest', (_request, reply, done) => {
      reply.headers(headers)
      done()
    })
    if (CORS_ORIGINS !== '') await allowOrigins(app, originsOf(CORS_ORIGINS))
  },
  { name: 'security-headers' },
)

/** Computed once: @fastify/helmet does it for each request, and writes them past Fastify's own (ADR 0085). */
function headersOf(options: HelmetOptions): OutgoingHttpHeaders {
  const request = new IncomingMessage(new Socket())
  const response = new ServerResponse(request)
  helmet(options)(request, response, (error) => {
    if (error) throw error
  })
  return response.getHeaders()
}

async function allowOrigins(app: FastifyInstance, origins: string[]): Promise<void> {
  const any = origins.includes('*')
  const options: FastifyCorsOptions = {
    origin: any ? '*' : origins,
    credentials: !any, // sessions are cookies
    methods: ['GET', 'HEAD', 'POST', 'DELETE'],
    allowedHeaders: ['Content-Type', 'Authorization', 'X-API-Key', 'X-CSRF-Token', 'X-Request-Id', 'Prefer'],
    exposedHeaders: [
      'Preference-Applied',
      'X-Request-Id',
      'X-Cache',
      'X-Model',
      'Retry-After',
      'RateLimit-Limit',
      'RateLimit-Remaining',
      'RateLimit-Reset',
    ],
    maxAge: 600,
    strictPreflight: false, // its 400 is no JSON
  }
  if (any) return void (await app.register(cors, options))
  await app.register(cors, {
    // Who names no origin is no page, and is told only that answers to pages differ.
    delegator: ({ headers }, answer) => answer(null, headers.origin === undefined ? { origin: false } : options),
  })
  // A service's own Vary replaces the one that was set before it was asked; without Origin a cache would mix pages up.
  app.addHook('onSend', (_request, reply, _payload, done) => {
    const vary = String(reply.getHeader('vary') ?? '')
    if (!/\borigin\b/i.test(vary)) reply.header('vary', vary === '' ? 'Origin' : `${vary}, Origin`)
    done()
  })
}
