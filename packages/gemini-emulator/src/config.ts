import type { EmulatorOptions } from './types.ts'

export interface Config {
  host: string
  port: number
  logLevel: string
  emulator: EmulatorOptions
}

const LOG_LEVELS = ['info', 'fatal', 'error', 'warn', 'debug', 'trace', 'silent'] as const

/** Every fault of the environment in one message. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

/**
 * Reads HOST, PORT, LOG_LEVEL, EMULATOR_RPM, EMULATOR_INPUT_TPM, EMULATOR_RPD, EMULATOR_MODEL_LIMITS (`model=RPM/RPD/TPM,…`,
 * as QUOTA_MODEL_LIMITS is written), EMULATOR_WINDOW_MS, EMULATOR_LIMITS_PER, EMULATOR_LATENCY_MS and EMULATOR_API_KEYS (separated by commas). An empty value counts as absent. @throws ConfigError that names all faults
 */
export function loadConfig(env: NodeJS.ProcessEnv = process.env): Config {
  const faults: string[] = []
  const text = (name: string, fallback: string) => env[name]?.trim() || fallback
  const whole = (name: string, fallback: number, bounds: { min: number; max?: number }) => {
    const value = Number(text(name, String(fallback)))
    const { min, max = Number.MAX_SAFE_INTEGER } = bounds
    if (Number.isInteger(value) && value >= min && value <= max) return value
    faults.push(`${name} must be a whole number from ${min} to ${max}, not ${JSON.stringify(env[name])}`)
    return fallback
  }
  const oneOf = <T extends string>(name: string, known: readonly [T, ...T[]]): T => {
    const value = text(name, known[0])
    const found = known.find((one) => one === value)
    if (found === undefined) faults.push(`${name} must be one of ${known.join(', ')}, not "${value}"`)
    return found ?? known[0]
  }
  const logLevel = oneOf('LOG_LEVEL', LOG_LEVELS)
  const apiKeys = text('EMULATOR_API_KEYS', '')
    .split(',')
    .flatMap((key) => key.trim() || [])
  const modelLimits = readModelLimits(text('EMULATOR_MODEL_LIMITS', ''))
  if (modelLimits === undefined)
    faults.push(
      `EMULATOR_MODEL_LIMITS must be model=RPM/RPD/TPM,… with whole numbers, K or M, not "${env.EMULATOR_MODEL_LIMITS}"`,
    )
  const config: Config = {
    host: text('HOST', '127.0.0.1'),
    port: whole('PORT', 5004, { min: 0, max: 65_535 }),
    logLevel,
    emulator: {
      limits: {
        rpm: whole('EMULATOR_RPM', 15, { min: 0 }),
        inputTpm: whole('EMULATOR_INPUT_TPM', 1_000_000, { min: 0 }),
        rpd: whole('EMULATOR_RPD', 1500, { min: 0 }),
      },
      windowMs: whole('EMULATOR_WINDOW_MS', 60_000, { min: 1 }),
      ...(modelLimits && Object.keys(modelLimits).length > 0 && { modelLimits }),
      limitsPer: oneOf('EMULATOR_LIMITS_PER', ['model', 'project']),
      latencyMs: whole('EMULATOR_LATENCY_MS', 0, { min: 0, max: 600_000 }),
      ...(apiKeys.length > 0 && { apiKeys }),
    },
  }
  if (faults.length > 0)
    throw new ConfigError(`The emulator cannot start:\n${faults.map((fault) => `- ${fault}`).join('\n')}`)
  return Object.freeze(config)
}

/** Of `model=RPM/RPD/TPM`, also with a fourth limit, which Google does not have; undefined when it is none of these. */
function readModelLimits(text: string): EmulatorOptions['modelLimits'] {
  const entries = text.split(',').filter((entry) => entry.trim() !== '')
  const limits = entries.map((entry) => {
    const form = /^\s*(?<model>[^=\s]+)\s*=\s*(?<rpm>\d+[KM]?)\/(?<rpd>\d+[KM]?)\/(?<tpm>\d+[KM]?)(?:\/\d+[KM]?)?\s*$/i
    const { model, rpm, rpd, tpm } = form.exec(entry)?.groups ?? {}
    return model && ([model, { rpm: amountOf(rpm), inputTpm: amountOf(tpm), rpd: amountOf(rpd) }] as const)
  })
  return limits.includes(undefined) ? undefined : Object.fromEntries(limits as [string, object][])
}

function amountOf(text = ''): number {
  const factor = { K: 1e3, M: 1e6 }[text.slice(-1).toUpperCase()]
  return factor === undefined ? Number(text) : Number(text.slice(0, -1)) * factor
}
