import { GoogleGenerativeAI, type Schema, SchemaType } from '@google/generative-ai'
import { malformed } from './answer.ts'
import { GeminiError } from './errors.ts'
import type { Endpoint } from './transport.ts'
import type { JsonRequest, Picture, ResponseSchema } from './types.ts'

type Ask = JsonRequest & { picture?: Picture }

/**
 * The response body of one generateContent call, built and read by @google/generative-ai. Only this file knows the SDK.
 * It drops the cause of a failure, the signal's reason and the gRPC status, so the request goes out through our own
 * transport, whose error is the one that is thrown.
 */
export async function askThroughSdk({ baseUrl, apiKey, model, transport }: Endpoint, ask: Ask): Promise<unknown> {
  let wasCalled = false
  let failure: unknown
  const fetchThroughTransport = async (
    url: unknown,
    init?: { body?: unknown; headers?: unknown },
  ): Promise<Response> => {
    wasCalled = true
    try {
      const headers = Object.fromEntries(new Headers(init?.headers as Headers))
      return new Response(
        await transport.post({ url: String(url), headers, body: String(init?.body), signal: ask.signal }),
      )
    } catch (error) {
      failure = error
      throw error
    }
  }
  try {
    const { response } = await withFetch(fetchThroughTransport, () => {
      const sdk = new GoogleGenerativeAI(apiKey).getGenerativeModel({ model, ...settingsOf(ask) }, { baseUrl })
      return sdk.generateContent({ contents: [{ role: 'user', parts: partsOf(ask) }] })
    })
    return response
  } catch (error) {
    if (failure !== undefined) throw failure
    if (wasCalled) throw malformed('The answer is not a Gemini response', undefined, error)
    throw new GeminiError('rejected', 'The SDK refused to build the request', { reachedGemini: false, cause: error })
  }
}

/**
 * The SDK takes the global fetch, and takes it before its first await. So ours stands there only while `start` runs, in
 * one turn of the event loop that no other code can see.
 */
function withFetch<T>(replacement: typeof fetch, start: () => Promise<T>): Promise<T> {
  const original = globalThis.fetch
  globalThis.fetch = replacement
  try {
    return start()
  } finally {
    globalThis.fetch = original
  }
}

/** No temperature, topP or topK: newer models answer 400 to them. `maxOutputTokens` on the wire includes thoughts. */
function settingsOf({ system, schema, maxOutputTokens, outputFactor = 1, thinkingBudget }: Ask) {
  return {
    ...(system !== undefined && { systemInstruction: system }),
    generationConfig: {
      responseMimeType: 'application/json',
      responseSchema: toSdkSchema(schema),
      maxOutputTokens: maxOutputTokens * outputFactor + (thinkingBudget ?? 0),
      ...(thinkingBudget !== undefined && { thinkingConfig: { thinkingBudget } }),
    },
  }
}

function partsOf({ prompt, picture }: Ask) {
  if (!picture) return [{ text: prompt }]
  const data = Buffer.from(picture.bytes).toString('base64')
  return [{ inlineData: { mimeType: picture.mimeType, data } }, { text: prompt }]
}

function toSdkSchema(schema: ResponseSchema): Schema {
  const description = schema.description === undefined ? {} : { description: schema.description }
  switch (schema.type) {
    case 'OBJECT': {
      const properties = Object.entries(schema.properties).map(
        ([name, property]) => [name, toSdkSchema(property)] as const,
      )
      return {
        type: SchemaType.OBJECT,
        properties: Object.fromEntries(properties),
        ...(schema.required && { required: schema.required }),
        ...description,
      }
    }
    case 'ARRAY': {
      const { items, minItems, maxItems } = schema
      return {
        type: SchemaType.ARRAY,
        items: toSdkSchema(items),
        ...(minItems !== undefined && { minItems }),
        ...(maxItems !== undefined && { maxItems }),
        ...description,
      }
    }
    case 'STRING':
      return schema.enum
        ? { type: SchemaType.STRING, format: 'enum', enum: schema.enum, ...description }
        : { type: SchemaType.STRING, ...description }
    default:
      return { type: SchemaType[schema.type], ...description }
  }
}
