import { invalidArgument } from './google-errors.ts'
import { countPictureTokens, countTextTokens } from './tokens.ts'

export interface Part {
  text?: string
  thought?: boolean
  inlineData?: { mimeType: string; data: string }
}

export interface Candidate {
  content?: { parts?: Part[]; role: 'model' }
  finishReason: string
  finishMessage?: string
  index: number
}

export interface UsageMetadata {
  promptTokenCount?: number
  candidatesTokenCount?: number
  totalTokenCount?: number
  promptTokensDetails?: { modality: 'TEXT' | 'IMAGE'; tokenCount: number }[]
  candidatesTokensDetails?: { modality: 'TEXT' | 'IMAGE'; tokenCount: number }[]
  thoughtsTokenCount?: number
}

export interface GenerateContentResponse {
  candidates?: Candidate[]
  promptFeedback?: { blockReason: string }
  usageMetadata?: UsageMetadata
  modelVersion: string
  responseId: string
}

/** An OpenAPI-style schema as it arrives: type names in either case. */
export interface WireSchema {
  type: string
  description?: string
  enum?: string[]
  items?: WireSchema
  minItems?: number
  maxItems?: number
  properties?: Record<string, WireSchema>
  required?: string[]
}

/** A generateContent request, checked and flattened. */
export interface Ask {
  system: string
  prompt: string
  pictures: { mimeType: string; bytes: Buffer }[]
  schema: WireSchema | undefined
  wantsJson: boolean
  wantsPicture: boolean
  wantsThoughts: boolean
  /** Most tokens of thoughts; undefined: as many as the model likes. */
  thinkingBudget: number | undefined
  aspectRatio: string
  maxOutputTokens: number | undefined
  promptTokens: { text: number; pictures: number }
}

const REQUEST_FIELDS = new Set(
  'contents systemInstruction system_instruction generationConfig generation_config safetySettings tools toolConfig cachedContent model labels'.split(
    ' ',
  ),
)

/** Checks a generateContent body as Google does. @throws GoogleError 400 */
export function readAsk(body: unknown, model: string): Ask {
  if (!isRecord(body)) throw invalidArgument('Invalid JSON payload received. Expected an object.')
  for (const field of Object.keys(body)) {
    if (!REQUEST_FIELDS.has(field)) {
      throw invalidArgument(`Invalid JSON payload received. Unknown name "${field}": Cannot find field.`)
    }
  }
  const contents = body.contents
  if (!Array.isArray(contents) || contents.length === 0) {
    throw invalidArgument('* GenerateContentRequest.contents: contents is not specified\n')
  }
  const parts = contents.flatMap((content) => readParts(content))
  if (parts.length === 0) {
    throw invalidArgument('* GenerateContentRequest.contents[0].parts: contents.parts must not be empty.\n')
  }
  const system = textOf(readParts(body.systemInstruction ?? body.system_instruction))
  const config = record(body.generationConfig ?? body.generation_config)
  return { ...readGenerationConfig(config), ...measure(parts, system, model, config) }
}

function measure(parts: Part[], system: string, model: string, config: Record<string, unknown>) {
  const prompt = textOf(parts)
  const pictures = parts.flatMap(({ inlineData }) =>
    inlineData ? [{ mimeType: inlineData.mimeType, bytes: Buffer.from(inlineData.data, 'base64') }] : [],
  )
  const resolution = typeof config.mediaResolution === 'string' ? config.mediaResolution : undefined
  return {
    system,
    prompt,
    pictures,
    promptTokens: {
      text: countTextTokens(system) + countTextTokens(prompt),
      pictures: pictures.length * countPictureTokens(model, resolution),
    },
  }
}

function readGenerationConfig(config: Record<string, unknown>) {
  const modalities = Array.isArray(config.responseModalities) ? config.responseModalities.map(String) : []
  const schema = config.responseSchema
  const wantsJson = config.responseMimeType === 'application/json'
  if (schema !== undefined && !wantsJson) {
    throw invalidArgument(
      '* GenerateContentRequest.generation_config.response_schema: response_schema only supports the "application/json" response mime type\n',
    )
  }
  const ratio = record(config.imageConfig).aspectRatio
  const { includeThoughts, thinkingBudget } = record(config.thinkingConfig)
  return {
    schema: schema === undefined ? undefined : readSchema(schema, 'response_schema'),
    wantsJson,
    wantsPicture: modalities.some((modality) => modality.toUpperCase() === 'IMAGE'),
    wantsThoughts: includeThoughts === true,
    thinkingBudget: typeof thinkingBudget === 'number' && thinkingBudget >= 0 ? thinkingBudget : undefined,
    aspectRatio: typeof ratio === 'string' ? ratio : '1:1',
    maxOutputTokens: typeof config.maxOutputTokens === 'number' ? config.maxOutputTokens : undefined,
  }
}

const TYPES = new Set(['STRING', 'INTEGER', 'NUMBER', 'BOOLEAN', 'ARRAY', 'OBJECT'])

function readSchema(value: unknown, path: string): WireSchema {
  const raw = record(value)
  const type = String(raw.type ?? '').toUpperCase()
  const fault = (what: string) => invalidArgument(`* GenerateContentRequest.generation_config.${path}${what}\n`)
  if (!TYPES.has(type)) throw fault('.type: must be specified')
  if (type === 'ARRAY' && !isRecord(raw.items)) throw fault('.items: missing field.')
  if (type === 'OBJECT' && Object.keys(record(raw.properties)).length === 0) {
    throw fault('.properties: should be non-empty for OBJECT type')
  }
  return {
    type,
    ...(typeof raw.description === 'string' && { description: raw.description }),
    ...(Array.isArray(raw.enum) && { enum: raw.enum.map(String) }),
    ...(type === 'ARRAY' && { items: readSchema(raw.items, `${path}.items`) }),
    ...(raw.minItems !== undefined && { minItems: Number(raw.minItems) }),
    ...(raw.maxItems !== undefined && { maxItems: Number(raw.maxItems) }),
    ...(type === 'OBJECT' && { properties: readProperties(record(raw.properties), path) }),
    ...(Array.isArray(raw.required) && { required: raw.required.map(String) }),
  }
}

function readProperties(properties: Record<string, unknown>, path: string): Record<string, WireSchema> {
  return Object.fromEntries(
    Object.entries(properties).map(([name, schema]) => [name, readSchema(schema, `${path}.properties[${name}]`)]),
  )
}

function readParts(content: unknown): Part[] {
  if (typeof content === 'string') return [{ text: content }]
  const parts = record(content).parts
  if (Array.isArray(parts)) return parts.filter(isRecord).map(readPart)
  return isRecord(parts) ? [readPart(parts)] : []
}

function readPart(part: Record<string, unknown>): Part {
  const inline = record(part.inlineData ?? part.inline_data)
  const mimeType = inline.mimeType ?? inline.mime_type
  if (typeof inline.data === 'string' && typeof mimeType === 'string') {
    return { inlineData: { mimeType, data: inline.data } }
  }
  return typeof part.text === 'string' ? { text: part.text } : {}
}

function textOf(parts: Part[]): string {
  return parts.flatMap(({ text }) => text ?? []).join('\n')
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function record(value: unknown): Record<string, unknown> {
  return isRecord(value) ? value : {}
}
