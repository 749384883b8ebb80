import { type Static, type TObject, type TProperties, Type } from 'typebox'
import { Value } from 'typebox/value'

export type Environment = Record<string, string | undefined>

/** What is wrong with a process's environment: every fault, one a line, in one message. */
export class EnvironmentError extends Error {
  readonly faults: string[]

  constructor(faults: string[]) {
    super(`The environment is not usable:\n${faults.map((fault) => `  - ${fault}`).join('\n')}`)
    this.name = 'EnvironmentError'
    this.faults = faults
  }
}

/** One setting: its schema carries the default and the description that the README's table is made from. */
export const setting = {
  text: (description: string, options: { default?: string } = {}) => Type.String({ description, ...options }),
  optionalText: (description: string) => Type.Optional(Type.String({ description })),
  wholeNumber: (description: string, options: { default: number; minimum: number; maximum: number }) =>
    Type.Integer({ description, ...options }),
  optionalPort: (description: string) => Type.Optional(Type.Integer({ description, minimum: 0, maximum: 65_535 })),
  number: (
    description: string,
    options: { default: number; minimum?: number; exclusiveMinimum?: number; maximum: number },
  ) => Type.Number({ description, ...options }),
  flag: (description: string, options: { default: boolean }) => Type.Boolean({ description, ...options }),
  oneOf: <const V extends string[]>(values: [...V], description: string, options: { default: V[number] }) =>
    Type.Enum(values, { description, ...options }),
}

/** Faults between settings that are fine each by itself. `read` lacks what is absent or wrong by itself. */
export type EnvironmentRule<Read> = (read: Partial<Read>, env: Environment) => string[]

/**
 * Reads a process's settings: defaults filled in, texts converted, everything checked. An empty variable counts as
 * absent, as Compose files write it. Throws EnvironmentError naming every fault; secrets' values are not repeated.
 */
export function readEnvironment<P extends TProperties>(
  schema: TObject<P>,
  env: Environment,
  rules: EnvironmentRule<Static<TObject<P>>> = () => [],
): Readonly<Static<TObject<P>>> {
  const read: Record<string, unknown> = {}
  const faults: string[] = []
  for (const [name, property] of Object.entries(schema.properties)) {
    const given = env[name]?.trim() || undefined
    const value = given === undefined ? (property as Expectation).default : convert(given, property)
    if (value === undefined && !(schema.required as string[] | undefined)?.includes(name)) continue
    if (Value.Check(property, value)) read[name] = value
    else faults.push(describeFault(name, property, given))
  }
  faults.push(...rules(read as Partial<Static<TObject<P>>>, env))
  if (faults.length > 0) throw new EnvironmentError(faults)
  return Object.freeze(read) as Readonly<Static<TObject<P>>>
}

/** Strictly: a text that is not wholly a number or a flag stays a text, and fails its check. */
function convert(text: string, { type }: Expectation): unknown {
  if (type === 'integer' || type === 'number') return Number.isNaN(Number(text)) ? text : Number(text)
  if (type === 'boolean') return { true: true, false: false, '1': true, '0': false }[text.toLowerCase()] ?? text
  return text
}

function describeFault(name: string, schema: Expectation, given: string | undefined): string {
  const expected = `expected ${describeExpectation(schema)}`
  if (given === undefined) return `${name} is required: ${expected}`
  return `${name}=${isSecret(name) ? '(hidden)' : JSON.stringify(given)}: ${expected}`
}

interface Expectation {
  default?: unknown
  type?: string
  enum?: string[]
  minimum?: number
  exclusiveMinimum?: number
  maximum?: number
  pattern?: string
  expectation?: string
}

/** Such as `a whole number from 1 to 65535`; also the README's column. */
export function describeExpectation(schema: Expectation): string {
  if (schema.expectation) return schema.expectation
  if (schema.enum) return schema.enum.join(' or ')
  if (schema.type === 'boolean') return 'true or false'
  if (schema.type === 'integer' || schema.type === 'number') {
    const kind = schema.type === 'integer' ? 'a whole number' : 'a number'
    const from = schema.minimum ?? `above ${schema.exclusiveMinimum}`
    return `${kind} from ${from} to ${schema.maximum}`
  }
  return 'a text'
}

function isSecret(name: string): boolean {
  return /KEY|TOKEN|PASSWORD|SECRET|REDIS_URL/.test(name)
}

const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const

/** What every process reads: where it listens and how much it logs. */
export const serverSettings = (defaultPort: number) => ({
  HOST: setting.text('Address to listen on', { default: '0.0.0.0' }),
  PORT: setting.wholeNumber('Port to listen on', { default: defaultPort, minimum: 0, maximum: 65_535 }),
  METRICS_PORT: setting.optionalPort('Serves /metrics, and nothing else, on this port too'),
  DRAIN_MS: setting.wholeNumber(
    'After SIGTERM: how long `/ready` says no before the end, for load balancers to notice',
    { default: 1_500, minimum: 0, maximum: 8_000 },
  ),
  OTEL_EXPORTER_OTLP_ENDPOINT: Type.Optional(
    Type.String({
      description: 'OTLP/HTTP collector that gets traces, such as http://collector:4318; without it nothing is traced',
      pattern: '^https?://[^/]',
      expectation: 'an http:// or https:// URL',
    }),
  ),
  LOG_LEVEL: setting.oneOf([...logLevels], 'Least severe log line that is written', { default: 'info' }),
})
