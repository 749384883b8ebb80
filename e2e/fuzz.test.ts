import { errorStatus } from '@knowalledge/generation/errors'
import { type Conversation, converse, type RawAnswer } from '@knowalledge/testing'
import fc from 'fast-check'
import t from 'tap'
import { fleetForTest } from './fleet.ts'
import * as fuzz from './fuzz-requests.ts'

/** `FUZZ_RUNS=20000 FUZZ_SEED=1 node e2e/fuzz.test.ts` for longer, or for the same again. Without: bounded by time as well. */
const { FUZZ_RUNS, FUZZ_SEED } = process.env
const parameters = {
  numRuns: Number(FUZZ_RUNS ?? 200),
  ...(FUZZ_SEED === undefined ? {} : { seed: Number(FUZZ_SEED) }),
  ...(FUZZ_RUNS === undefined ? { interruptAfterTimeLimit: 5_000 } : {}),
}

if (FUZZ_RUNS !== undefined) t.setTimeout(0)

/** The quota is not to be the answer to everything. */
const env = {
  LOG_LEVEL: 'error',
  ...Object.fromEntries(['QUOTA_RPM', 'QUOTA_RPD', 'EMULATOR_RPM', 'EMULATOR_RPD'].map((name) => [name, '1000000'])),
  ...Object.fromEntries(['QUOTA_TPM', 'QUOTA_TPD', 'EMULATOR_INPUT_TPM'].map((name) => [name, '1000000000'])),
}

interface Property {
  name: string
  requests: fuzz.ArbitraryRequest
  holds: (conversation: Conversation) => void
  /** Whether the bytes may be half a request: then their end is said, and no answer is one too. */
  ends?: boolean
}

const properties: Property[] = [
  { name: 'any JSON', requests: fuzz.anyQuestion, holds: oneAnswerWithTheGivenId },
  { name: 'any body of any type', requests: fuzz.anyBody, holds: oneAnswer },
  { name: 'any bytes as a picture', requests: fuzz.anyPicture, holds: oneAnswer },
  { name: 'any query', requests: fuzz.anyQuery, holds: oneAnswer },
  { name: 'any method and path', requests: fuzz.anyTarget, holds: oneAnswer },
  { name: 'any headers', requests: fuzz.anyHeaders, holds: oneAnswer },
  { name: 'any bytes at all', requests: fuzz.anyBytes, holds: answersOfTheContract, ends: true },
]

t.test(
  'whatever is asked, the answer is of the contract: no 5xx, no hang, one error shape',
  { timeout: 0 },
  async (t) => {
    const { gateway, text, vision, imageGeneration, counters } = await fleetForTest(t, { env })
    for (const { name, requests, holds, ends = false } of properties) {
      let runs = 0
      const property = fc.asyncProperty(requests, async (bytes) => {
        runs++
        holds(await converse(gateway.url, bytes, { ends }))
      })
      await fc.assert(property, parameters)
      t.ok(runs > 0, `${name}: ${runs} runs`)
    }
    for (const { url, process, output } of [gateway, ...text, vision, imageGeneration]) {
      t.equal((await fetch(`${url}/health`)).status, 200)
      t.equal(process.exitCode ?? process.signalCode, null)
      t.equal(output(), '', 'nothing to complain about in any log')
    }
    t.match(await counters(), { refused: { rpm: 0, inputTpm: 0, rpd: 0 } })
  },
)

function oneAnswerWithTheGivenId(conversation: Conversation): void {
  oneAnswer(conversation)
  const id = conversation.answers[0]?.headers['x-request-id']
  if (id !== fuzz.givenId) throw new Error(`the id came back as ${id}`)
}

function oneAnswer({ answers, rest }: Conversation): void {
  if (answers.length !== 1) throw new Error(`not one answer: ${JSON.stringify({ answers, rest })}`)
  answersOfTheContract({ answers, rest })
}

function answersOfTheContract({ answers, rest }: Conversation): void {
  if (rest !== '') throw new Error(`not HTTP: ${rest.slice(0, 500)}`)
  for (const answer of answers) {
    const untrue = untruth(answer)
    if (untrue) throw new Error(`${untrue}: ${JSON.stringify({ ...answer, body: answer.body.slice(0, 500) })}`)
  }
}

function untruth({ status, headers, body }: RawAnswer): string | undefined {
  if (status >= 500) return 'a 5xx'
  // What is no HTTP at all never becomes a request that could have an id: it is refused and the connection ends.
  const needsId = status < 400 || headers.connection !== 'close' || headers.date !== undefined
  if (needsId && !/^[\w.:-]{1,128}$/.test(headers['x-request-id'] ?? '')) return 'no id'
  if (status < 400) return undefined
  if (!headers['content-type']?.startsWith('application/json')) return 'an error that is not JSON'
  const { error, message } = JSON.parse(body) as { error: keyof typeof errorStatus; message: unknown }
  if (errorStatus[error] !== status) return 'an error of another status'
  if (typeof message !== 'string' || !/^\S.*\S$/s.test(message)) return 'no message'
  return /\n\s+at |node_modules|127\.0\.0\.1/.test(message) ? 'a message of internals' : undefined
}
