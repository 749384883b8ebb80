import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerOptions, ServerResponse } from 'node:http'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
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
import { answerAfterBody } from './answer-after-body.ts'
import { answerBrokenHttp, keepBrokenHttpInShape } from './broken-http.ts'
import { toHttpError } from './error-handling.ts'
import { refuseIllFormed } from './ill-formed.ts'
import { logRequests } from './request-log.ts'

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
  /** Whose `X-Forwarded-For` makes `request.ip`. Default nobody's. */
  trustProxy?: FastifyServerOptions['trustProxy']
  /** What Node's server takes only when it is made. */
  serverOptions?: ServerOptions
  /** True at the door, which bounds what may still arrive: it does not wait for the rest of a body if the connection stays. */
  answersEarly?: boolean | undefined
}

/** The largest valid body, a presentation of 20 subtopics written in JSON escapes, takes half of this. */
const jsonBodyLimit = 256 * 1024

/** A Fastify instance as every process of this house has it: request ids, strict validation, one log line a request. */
export function createApp(options: AppOptions): App {
  const { service, logger, bodyLimit = jsonBodyLimit, requestTimeoutMs = 60_000 } = options
  const { trustProxy = false, serverOptions = {}, answersEarly = false } = options
  const app = Fastify({
    loggerInstance: logger.child({ service }) as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'request_id' }),
    genReqId: (request) => acceptedRequestId(request.headers['x-request-id']) ?? randomUUID(),
    bodyLimit,
    requestTimeout: requestTimeoutMs,
    trustProxy,
    http: { ...serverOptions, requireHostHeader: false }, // Node's own refusal has no body: refuseIllFormed says it in our shape
    forceCloseConnections: 'idle',
    return503OnClosing: false, // who still comes in by an open connection is answered like the others
    clientErrorHandler: answerBrokenHttp,
    frameworkErrors: answerBadUrl as never, // its type is generic over routes that are not known yet
    // Coercion would turn `{"topic": 5}` into "5" and a lone text into a list; a wrong type is the client's to mend.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false } },
  }).withTypeProvider<TypeBoxTypeProvider>()

  keepBrokenHttpInShape(app.server)
  app.removeContentTypeParser('text/plain') // so that it is a 415 and not a text where an object was meant
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id)
    done()
  })
  logRequests(app)
  refuseIllFormed(app)
  answerAfterBody(app, { always: !answersEarly })
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
