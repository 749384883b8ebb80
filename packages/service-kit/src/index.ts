export { type App, type AppOptions, createApp, createServiceApp, type ServiceAppOptions } from './app/app.ts'
export { serve, start } from './app/serve.ts'
export {
  describeExpectation,
  type Environment,
  EnvironmentError,
  readEnvironment,
  serverSettings,
  setting,
} from './config/environment.ts'
export { errorHandling, toHttpError } from './errors/error-handling.ts'
export {
  type ErrorDetails,
  type ErrorName,
  ErrorShape,
  HttpError,
  httpErrors,
  internalMessage,
} from './errors/http-error.ts'
export { clientSignal } from './http/client-connection.ts'
export { cachingHeaders, isKnownToClient, NothingNew } from './http/conditional.ts'
export { ignoreUnlessText, trimTexts, utf8Json } from './http/input.ts'
export { askedLanguage, chooseLanguage, type Language } from './http/language.ts'
export { openapi } from './http/openapi.ts'
export type { Fault } from './observability/faults.ts'
export { type CheckResult, liveness, type ReadyCheck, readiness, runChecks } from './observability/health.ts'
export { createLogger, type Logger } from './observability/logger.ts'
export type { RequestOutcome } from './observability/request-log.ts'
export { type ProcessSnapshot, processSnapshots } from './observability/snapshot.ts'
export { inSpan, startTracing } from './observability/tracing.ts'
