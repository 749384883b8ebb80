export { type Backends, type BackendsConfig, openBackends } from './backends.ts'
export { answerKey, createGeneration, type GenerationOptions } from './generation.ts'
export { createGenerationApp, type GenerationTools } from './generation-app.ts'
export {
  type Accepted,
  type Generation,
  type GenerationAnswer,
  type GenerationSpec,
  type RunContext,
  type RunOutcome,
  UnusableAnswer,
} from './types.ts'
