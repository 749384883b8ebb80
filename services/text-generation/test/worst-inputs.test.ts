import { serviceForTest } from '@knowalledge/generation/testing'
import t from 'tap'
import { buildApp } from '../src/app.ts'
import { loadConfig } from '../src/config.ts'

const build = serviceForTest({ buildApp, loadConfig })

const maxBytes = 256 * 1024
const most = (text: string, around = 120) => text.repeat(Math.floor((maxBytes - around) / Buffer.byteLength(text)))
const whole = (fields: string) => `{"topic":"x","educationLevel":"x","levelOfDetail":"x",${fields}}`
const list = (entry: string) => whole(`"focus":[${most(`${entry},`)}${entry}]`)

/** By what they are: bodies of `create_presentation`, each as long as it may be, or query and headers. */
const bodies: Record<string, string> = {
  'numbers in focus': list('1'),
  'empty texts in focus': list('""'),
  'lists in focus': list('[]'),
  'nested lists in focus': whole(`"focus":[${'['.repeat(120_000)}${']'.repeat(120_000)}]`),
  'objects in focus': list('{"a":1}'),
  'texts of one character in focus': list('"x"'),
  'surrogate pairs in focus': list('"\\ud83d\\ude00"'),
  'twenty texts of 12 kB': whole(`"focus":[${Array.from({ length: 20 }, () => `"${'x'.repeat(12_000)}"`)}]`),
  'white space in a topic': `{"topic":"${most(' ')}"}`,
  'escapes in a topic': `{"topic":"${most('\\u0020')}"}`,
  'combining marks in a topic': `{"topic":"a${most('\u0301')}"}`,
  'unknown fields': whole(`"focus":["x"],${Array.from({ length: 20_000 }, (_, n) => `"f${n}":1`)}`),
  'the same field again and again': whole(`"focus":["x"],${most('"a":1,')}"a":1`),
  'names that almost poison a prototype': whole(`"focus":["x"],"a":[${most('{"__proto":1},')}0]`),
  'prototypes far inside': whole(`"focus":["x"],"a":[${most('{"a":1},', 200)}{"__proto__":1}]`),
  'prototypes in escapes': whole(`"focus":["x"],"a":[${most('"\\u005f_proto__",', 200)}0]`),
  'unknown fields in each other': whole(`"focus":["x"],"a":${'{"a":'.repeat(40_000)}1${'}'.repeat(40_000)}`),
  'a number of 250,000 digits': whole(`"focus":["x"],"a":${most('9')}`),
  'a list that never ends': `{"topic":${'['.repeat(250_000)}`,
  'a language': whole(`"focus":["x"],"language":"${most('a-')}"`),
  'a learning style': whole(`"focus":["x"],"learningStyle":"${most('low ')}"`),
}

/** Three thousand language tags that no request before has named: what was looked up is remembered. */
function newLanguages(): string[] {
  return Array.from({ length: 3_000 }, () => `q${(languagesNamed++ % 46_656).toString(36).padStart(3, 'a')}`)
}
let languagesNamed = 0

const queries: Record<string, () => { url: string; headers?: Record<string, string> }> = {
  'parameters in a query': () => ({ url: `/api/subtopics?topic=x&${'a&'.repeat(7_000)}` }),
  'different parameters in a query': () => ({
    url: `/api/subtopics?topic=x&${Array.from({ length: 3_000 }, (_, n) => `a${n}`).join('&')}`,
  }),
  'topics in a query': () => ({ url: `/api/subtopics?${'topic=a&'.repeat(1_900)}` }),
  'escapes in a query': () => ({ url: `/api/subtopics?topic=${'%20'.repeat(5_000)}` }),
  'the same language': () => ({ url: '/api/subtopics?topic=x', headers: { 'accept-language': 'qaa,'.repeat(4_000) } }),
  languages: () => ({ url: '/api/subtopics?topic=x', headers: { 'accept-language': newLanguages().join() } }),
  'weighted languages of regions': () => ({
    url: '/api/subtopics?topic=x',
    headers: { 'accept-language': newLanguages().slice(0, 1_200).join('-ab;q=0.5,') },
  }),
}

/** Processor time of one request, its parsing, checks and answer together: nothing of it can block for longer. */
async function cpuMs(ask: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage()
  await ask()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

async function least(ask: () => Promise<unknown>): Promise<number> {
  const times: number[] = []
  for (let n = 0; n < 6; n++) times.push(await cpuMs(ask))
  return Math.min(...times)
}

t.test('no request blocks the event loop for more than 20 ms', async (t) => {
  const { app, post } = await build(t)
  for (const [what, payload] of Object.entries(bodies)) {
    t.ok(payload.length <= maxBytes, `${what}: ${payload.length} bytes`)
    const ms = await least(() => post('/api/create_presentation', payload))
    t.ok(ms <= 20, `${what}: ${ms.toFixed(1)} ms`)
  }
  for (const [what, query] of Object.entries(queries)) {
    const ms = await least(() => app.inject(query()))
    t.ok(ms <= 20, `${what}: ${ms.toFixed(1)} ms`)
  }
})
