export { buildEmulator } from './emulator.ts'
export type { FaultKind } from './fault-kinds.ts'
export type {
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
