export { type Backends, openBackends, type ServicePool } from './backends.ts'
export { documentWaiting } from './document-waiting.ts'
export {
  answerHeaders,
  errorResponses,
  errorShape,
  errorStatus,
  modelField,
  questionErrors,
  upstreamErrors,
} from './errors.ts'
export { contextOf } from './gateway-headers.ts'
export { createGeneration, type GenerationOptions } from './generation.ts'
export { answerLearning } from './learning-reply.ts'
export { type Chain, type Chains, chainsOf } from './models.ts'
export { answerKey } from './run.ts'
export { Semaphore } from './semaphore.ts'
export {
  createGenerationApp,
  type GenerationTools,
  runService,
  type ServiceDefinition,
  type ServiceOptions,
} from './service.ts'
export { type ServiceConfig, serviceFaults, serviceSettings } from './settings.ts'
export {
  type Accepted,
  type Generation,
  type GenerationAnswer,
  type GenerationSpec,
  type Quality,
  type RunContext,
  type RunOutcome,
  UnusableAnswer,
} from './types.ts'
