import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePortsInARow } from '@knowalledge/testing'
import { compile, type JSONSchema } from 'json-schema-to-typescript'

/**
 * Writes the types of the client from the OpenAPI document of a running fleet. With --check it writes nothing and fails
 * if they are out of date.
 */
const file = 'packages/client/src/schema.ts'
const banner = '// Written by `npm run client:types` from /openapi.json. Do not edit.'

interface OpenapiDocument {
  paths: Record<string, Record<string, Operation>>
}
interface Operation {
  tags?: string[]
  parameters?: { name: string; in: string; required?: boolean; schema: JSONSchema }[]
  requestBody?: { content: Record<string, { schema: JSONSchema }> }
  responses: Record<string, { content?: Record<string, { schema: JSONSchema }> }>
}

const types = await typesOf(await publishedDocument())
const updated = execFileSync('biome', ['format', `--stdin-file-path=${file}`], { encoding: 'utf8', input: types })
const current = existsSync(file) ? readFileSync(file, 'utf8') : ''
if (updated !== current && process.argv.includes('--check')) {
  console.error(`${file} differs from the OpenAPI document. Run \`npm run client:types\` and commit the result.`)
  process.exitCode = 1
} else if (updated !== current) {
  writeFileSync(file, updated)
}

/** Of a fleet with sessions. Its Redis does not exist: the document needs none. */
async function publishedDocument(): Promise<OpenapiDocument> {
  const port = String(await freePortsInARow(5))
  const settings = { AUTH: 'required', SESSION_SECRET: 'x'.repeat(32), REDIS_URL: 'redis://127.0.0.1:1' }
  const fleet = spawn(process.execPath, ['scripts/start.ts'], {
    env: { PATH: process.env.PATH, PORT: port, LOG_LEVEL: 'silent', ...settings },
    stdio: 'ignore',
  })
  try {
    return (await answerOf(fleet, `http://127.0.0.1:${port}/openapi.json`)) as OpenapiDocument
  } finally {
    fleet.kill('SIGKILL')
    await once(fleet, 'exit')
  }
}

async function answerOf(fleet: ChildProcess, url: string): Promise<unknown> {
  while (fleet.exitCode === null) {
    const reply = await fetch(url).catch(() => undefined) // not listening yet
    if (reply?.ok) return await reply.json()
    await sleep(50)
  }
  throw new Error(`scripts/start.ts ended with ${fleet.exitCode}`)
}

async function typesOf({ paths }: OpenapiDocument): Promise<string> {
  const routes = Object.entries(paths).filter(([path]) => path.startsWith('/api/'))
  const schemas = routes.flatMap(([path, operations]) =>
    Object.entries(operations).flatMap(([method, operation]) => schemasOf(nameOf(method, path), operation)),
  )
  const options = { bannerComment: '', additionalProperties: false, format: false }
  const written = await Promise.all(schemas.map(([name, schema]) => compile(withoutTitles(schema), name, options)))
  return [banner, ...written].join('\n\n')
}

function schemasOf(name: string, { parameters = [], requestBody, responses }: Operation): [string, JSONSchema][] {
  const query = parameters.filter((parameter) => parameter.in === 'query')
  const querySchema: JSONSchema = {
    type: 'object',
    properties: Object.fromEntries(query.map((parameter) => [parameter.name, parameter.schema])),
    required: query.filter((parameter) => parameter.required).map((parameter) => parameter.name),
  }
  const body = requestBody?.content['application/json']?.schema
  const answer = (responses[200] ?? responses[201])?.content?.['application/json']?.schema
  return [
    ...(query.length > 0 ? [[`${name}Query`, querySchema] as [string, JSONSchema]] : []),
    ...(body ? [[`${name}Body`, body] as [string, JSONSchema]] : []),
    ...(answer ? [[`${name}Answer`, answer] as [string, JSONSchema]] : []),
  ]
}

/** `POST /api/create_subtopics` is `CreateSubtopics`, `GET /api/quota/stats` is `GetQuotaStats`. */
function nameOf(method: string, path: string): string {
  const words = path.replace(/^\/api\//, '').match(/[a-z0-9]+/gi) ?? []
  const all = method === 'post' ? words : [method, ...words]
  return all.map((word) => word[0]?.toUpperCase() + word.slice(1)).join('')
}

/** A title or id would rename a type, and `minItems` of a list would become a tuple for each length. */
function withoutTitles(schema: JSONSchema): JSONSchema {
  return JSON.parse(JSON.stringify(schema), (key, value) =>
    ['title', '$id', 'minItems', 'maxItems'].includes(key) && typeof value !== 'object' ? undefined : value,
  ) as JSONSchema
}
