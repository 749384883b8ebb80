import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'

const folder = new URL('../lua/', import.meta.url)
const [account, line, call, script] = ['account.lua', 'line.lua', 'call.lua', 'quota.lua'].map((file) => {
  const [header = '', ...body] = readFileSync(new URL(file, folder), 'utf8').split('\n\n')
  return { header, body: body.join('\n') }
})
const library = `${account?.body}\n${line?.body}`
const code = `${library}\n${call?.body}\n${script?.body}`

t.test('there is one script in four files', async (t) => {
  t.same(readdirSync(folder).toSorted(), ['account.lua', 'call.lua', 'line.lua', 'quota.lua'])
})

t.test('the header names exactly the KEYS and ARGV that are used, without a gap', async (t) => {
  for (const name of ['KEYS', 'ARGV']) {
    const named = (text = '') =>
      [...new Set(Array.from(text.matchAll(new RegExp(`${name}\\[(\\d+)\\]`, 'g')), ([, at]) => Number(at)))].toSorted(
        (one, other) => one - other,
      )
    const used = named(code)
    t.same(named(call?.header), used, name)
    t.same(
      used,
      used.map((_, at) => at + 1),
      `no gap in ${name}`,
    )
  }
  t.notMatch(code, /redis\.call\([^)]*['"]quota:/, 'every key comes through KEYS')
  t.notMatch(`${library}\n${script?.body}`, /ARGV/, 'arguments are read in one place')
  t.match(script?.header, /RETURNS/)
  t.match(script?.header, /Atomic, because/)
})

t.test('what it reads of the outside it reads once', async (t) => {
  t.same(code.match(/redis\.call\('(TIME|INFO)'[^)]*\)/g), ["redis.call('TIME')", "redis.call('INFO', 'replication')"])
})

t.test('it writes at its end, all with one command, so that a refused write leaves nothing half done', async (t) => {
  const reads = ['TIME', 'INFO', 'HGET', 'HKEYS', 'EXISTS', 'ZCARD', 'ZRANGE', 'ZSCORE', 'ZCOUNT', 'ZRANK']
  const writesOf = (text = '') =>
    Array.from(text.matchAll(/redis\.call\('(\w+)'/g), ([, command]) => String(command)).filter(
      (command) => !reads.includes(command),
    )
  t.same(writesOf(script?.body), ['DEL', 'HSET', 'PEXPIREAT', 'HDEL'], 'DEL is for a state of another layout')
  for (const file of [account, call]) t.same(writesOf(file?.body), [])
  const [decides, writes] = String(line?.body).split('local function closeLines')
  t.same(writesOf(decides), [])
  t.same(writesOf(writes), ['ZREM', 'ZADD', 'ZADD', 'PEXPIRE', 'PEXPIRE', 'DEL', 'ZREMRANGEBYSCORE'])
  t.match(script?.body, /redis\.call\('HSET', KEY, unpack\(writes\)\)\n +if lines then closeLines\(lines\) end/)
})
