import { fork } from 'node:child_process'
import { once } from 'node:events'
import { redisServerForTest } from '@knowalledge/testing'
import t, { type Test } from 'tap'
import { type Admission, most, usedShare } from './support/oracle.ts'
import { type Pattern, patternLimits, windowMs, windows } from './support/patterns.ts'

type Log = Record<Pattern, Admission[]>

t.test('the oracle itself sees what a fixed window lets through at its edge', async (t) => {
  const at = (ms: number): Admission => ({ askedMs: ms, answeredMs: ms + 1, requests: 1, tokens: 7 })
  const log = [at(950), at(960), at(1010), at(1020), at(2500)]
  t.equal(most('requests', log, 1000), 4)
  t.equal(most('tokens', log, 1000), 28)
  t.equal(most('requests', log, 62), 3)
  t.equal(usedShare('requests', log, { windowMs: 1000, windows: 1, limit: 8 }), 0.5)
})

t.test('four processes over one Redis stay within the limits in every window, and use them', async (t) => {
  const server = await redisServerForTest(t)
  judge(t, await fleet(4, server.port))
})

t.test('the in-memory twin stays within the limits in every window, and uses them', async (t) => {
  judge(t, await fleet(1, 0))
})

async function fleet(processes: number, port: number): Promise<Log> {
  const fromMs = Date.now() + 1500
  const untilMs = fromMs + (windows + 0.2) * windowMs
  const logs = await Promise.all(
    Array.from({ length: processes }, async () => {
      const url = new URL('./support/pattern-process.ts', import.meta.url)
      const child = fork(url, [port, fromMs, untilMs].map(String), { execArgv: [] })
      const [log] = (await once(child, 'message')) as [Log]
      return log
    }),
  )
  const all = (pattern: Pattern) => logs.flatMap((log) => log[pattern])
  return { hammer: all('hammer'), onOff: all('onOff'), edge: all('edge'), tokens: all('tokens') }
}

function judge(t: Test, log: Log): void {
  for (const pattern of ['hammer', 'onOff', 'edge'] as const) {
    const limit = patternLimits[pattern].rpm
    const worst = most('requests', log[pattern], windowMs) / limit
    t.ok(worst <= 1, `${pattern}: at most ${worst.toFixed(4)} of the limit in any window`)
    t.ok(worst > 0.9, `${pattern}: the limit was put to the test`)
  }
  const { rpm } = patternLimits.hammer
  const used = usedShare('requests', log.hammer, { windowMs, windows, limit: rpm })
  t.ok(used >= 0.98, `hammer: ${used.toFixed(4)} of the limit used`)

  const { tpm } = patternLimits.tokens
  const worst = most('tokens', log.tokens, windowMs) / tpm
  t.ok(worst <= 1, `tokens: at most ${worst.toFixed(4)} of the limit in any window`)
  const usedTokens = usedShare('tokens', log.tokens, { windowMs, windows, limit: tpm })
  t.ok(usedTokens >= 0.98, `tokens: ${usedTokens.toFixed(4)} of the limit used`)
}
