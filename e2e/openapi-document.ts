import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'

export interface OpenapiDocument {
  paths: Record<string, Record<string, Operation>>
}

interface Operation {
  responses: Record<string, Documented>
}

interface Documented {
  headers?: Record<string, { schema: object; description?: string }>
  content?: Record<string, { schema: object }>
}

export interface Answer {
  status: number
  headers: Headers
  body: string
}

const ajv = new Ajv2020({ strict: false, allErrors: true })
addFormats.default(ajv)

/** Everything the document says can happen, such as `POST /api/create_subtopics 200`. */
export function documentedAnswers({ paths }: OpenapiDocument): string[] {
  return Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).flatMap(([method, { responses }]) =>
      Object.keys(responses).map((status) => `${method.toUpperCase()} ${path} ${status}`),
    ),
  )
}

/** What an answer to an operation, such as `POST /api/create_subtopics`, has that the document does not say, or lacks. */
export function untruths({ paths }: OpenapiDocument, operation: string, answer: Answer): string[] {
  const [method = '', path = ''] = operation.split(' ')
  const documented = paths[path]?.[method.toLowerCase()]?.responses[answer.status]
  if (!documented) return [`${answer.status} is not documented: ${answer.body.slice(0, 200)}`]
  return [...untrueHeaders(documented, answer), ...untrueBody(documented, answer)]
}

function untrueHeaders({ headers = {} }: Documented, answer: Answer): string[] {
  return Object.entries(headers).flatMap(([name, { schema, description = '' }]) => {
    const value = answer.headers.get(name)
    if (value !== null) return faults(schema, value).map((fault) => `${name}: ${fault}`)
    return description.includes('absent when') ? [] : [`${name} is missing`]
  })
}

function untrueBody({ content }: Documented, { headers, body }: Answer): string[] {
  if (!content) return body === '' ? [] : [`there is a body: ${body.slice(0, 200)}`]
  const type = headers.get('content-type')?.split(';', 1)[0] ?? 'nothing'
  const schema = content[type]?.schema
  if (!schema) return [`the body is ${type}, not ${Object.keys(content).join(' or ')}`]
  return faults(schema, type === 'application/json' ? JSON.parse(body) : body)
}

function faults(schema: object, value: unknown): string[] {
  const validate = ajv.compile(schema)
  return validate(value) ? [] : (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`)
}
