export { barsOf } from './content/bar-code.ts'
export { buildEmulator } from './emulator.ts'
export type { FaultKind } from './fault-kinds.ts'
export { type Random, randomFrom } from './random.ts'
export type {
  Arrival,
  EmulatedModel,
  Emulator,
  EmulatorCounters,
  EmulatorHandle,
  EmulatorLimits,
  EmulatorOptions,
  FaultSpec,
  FaultState,
  Faults,
  RecordedCall,
  Task,
} from './types.ts'
