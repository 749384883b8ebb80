export { type App, type AppOptions, createApp } from './app.ts'
export { clientSignal } from './client-signal.ts'
export { isKnownToClient } from './conditional.ts'
export { describeExpectation, type Environment, EnvironmentError, readEnvironment, setting } from './environment.ts'
export { errorHandling, toHttpError } from './error-handling.ts'
export { type ErrorName, errorStatus, HttpError } from './errors.ts'
export { askedLanguage, chooseLanguage, type Language } from './language.ts'
export { liveness } from './liveness.ts'
export { createLogger, type Logger } from './logger.ts'
export { openapi } from './openapi.ts'
export { type CheckResult, type ReadyCheck, readiness, runChecks } from './readiness.ts'
export { logHolds, quotaChecks, redisDisabled } from './redis.ts'
export { contextOf, type RequestContext, type RequestOutcome } from './request-log.ts'
export {
  answerHeaders,
  cachingHeaders,
  ErrorShape,
  errorResponses,
  errorShape,
  NothingNew,
  questionErrors,
  upstreamErrors,
} from './schemas.ts'
export { serve, start } from './serve.ts'
export { createServiceApp, type ServiceAppOptions } from './service-app.ts'
export {
  geminiServiceSettings,
  type QuotaConfig,
  quotaOptions,
  quotaSettings,
  serverSettings,
} from './settings.ts'
export { readTenant, type Tenant, writeTenant } from './tenant.ts'
export { startTracing } from './tracing.ts'
export { refuseOtherThanUtf8 } from './utf8-json.ts'
export { trimTexts } from './validation.ts'
