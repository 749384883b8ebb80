import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerOptions, ServerResponse } from 'node:http'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { type MetricsPluginOptions, metricsPlugin } from '@knowalledge/metrics'
import Fastify, {
  type FastifyBaseLogger,
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
  LogController,
  type RawServerDefault,
} from 'fastify'
import type { Logger } from 'pino'
import { errorHandling, toHttpError } from '../errors/error-handling.ts'
import { answerAfterBody } from '../http/client-connection.ts'
import { answerUnparsable, refuseMalformed, routeMalformedRequests } from '../http/malformed-requests.ts'
import { openapi } from '../http/openapi.ts'
import { liveness, type ReadyCheck, readiness } from '../observability/health.ts'
import { requestLog } from '../observability/request-log.ts'
import { closing } from './closing.ts'

export type App = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>

export interface AppOptions {
  /** Named in each log line. */
  service: string
  logger: Logger
  /** Bytes of a JSON body. Default 256 KiB. */
  bodyLimit?: number
  /** Milliseconds a client may take to send its request. Default 60,000. */
  requestTimeoutMs?: number
  /** The proxies whose `X-Forwarded-For` sets `request.ip`. Default none. */
  trustProxy?: FastifyServerOptions['trustProxy']
  /** Options that Node's server takes only at its creation. */
  serverOptions?: ServerOptions
  /** True in the gateway, which bounds what may still arrive: it does not wait for the rest of a body if the connection stays. */
  answersEarly?: boolean | undefined
}

/** The largest valid body, a presentation of 20 subtopics written in JSON escapes, takes half of this. */
const jsonBodyLimit = 256 * 1024

/** The Fastify instance of every process: request ids, strict validation, one log line for each request. */
export async function createApp(options: AppOptions): Promise<App> {
  const { service, logger, bodyLimit = jsonBodyLimit, requestTimeoutMs = 60_000 } = options
  const { trustProxy = false, serverOptions = {}, answersEarly = false } = options
  const app = Fastify({
    loggerInstance: logger.child({ service }) as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'request_id' }),
    genReqId: (request) => acceptedRequestId(request.headers['x-request-id']) ?? randomUUID(),
    bodyLimit,
    requestTimeout: requestTimeoutMs,
    trustProxy,
    http: { ...serverOptions, requireHostHeader: false }, // Node's own refusal has no body: `refuseMalformed` checks it
    forceCloseConnections: 'idle',
    return503OnClosing: false, // requests on open connections are answered like the others
    clientErrorHandler: answerUnparsable,
    frameworkErrors: answerBadUrl as never, // its type is generic over routes that are not known yet
    // Coercion would turn `{"topic": 5}` into "5" and a single string into a list; a wrong type is the client's error.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false } },
  }).withTypeProvider<TypeBoxTypeProvider>()

  routeMalformedRequests(app.server)
  app.removeContentTypeParser('text/plain') // so that it is a 415 and not a string where an object is expected
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id)
    done()
  })
  await app.register(requestLog)
  await app.register(refuseMalformed)
  await app.register(answerAfterBody, { always: !answersEarly })
  return app
}

export interface ServiceAppOptions extends AppOptions, MetricsPluginOptions {
  /** One sentence for the docs. */
  description: string
  /** For `/ready`. */
  checks: Record<string, ReadyCheck>
  /** False when the app serves an OpenAPI document of its own making. Default true. */
  ownOpenapiRoute?: boolean
  /** Called before the first route is registered. */
  beforeRoutes?: ((app: App) => void) | undefined
}

/** What every process has before its first route: metrics, error handling, OpenAPI, `/health` and `/ready`. */
export async function createServiceApp(options: ServiceAppOptions): Promise<App> {
  const { service, description, metrics, checks, ownOpenapiRoute = true } = options
  const app = await createApp(options)
  options.beforeRoutes?.(app)
  await app.register(closing)
  await app.register(metricsPlugin, options)
  await app.register(errorHandling, {
    onAnswered: (error, request) => {
      const endpoint = request.routeOptions?.config?.endpoint ?? 'unknown'
      metrics.applicationError(endpoint, error.code)
      if (error.statusCode === 400 && endpoint !== 'unknown') metrics.validationFailure('request', error.code)
    },
  })
  await app.register(openapi, { title: `KnowAllEdge ${service}`, description, ownRoute: ownOpenapiRoute })
  await app.register(liveness, { service })
  await app.register(readiness, { service, checks })
  return app
}

/** What fails before a route is found, such as a path that is no valid URL. */
function answerBadUrl(error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  const { statusCode, code, message } = toHttpError(error)
  reply.code(statusCode).header('x-request-id', request.id).send({ error: code, message })
}

/** Only what is safe in a header and a log line is passed on; anything else gets an id of ours. */
function acceptedRequestId(given: string | string[] | undefined): string | undefined {
  return typeof given === 'string' && /^[\w.:-]{1,128}$/.test(given) ? given : undefined
}
