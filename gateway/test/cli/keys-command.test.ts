import { redisServerForTest, runCommand } from '@knowalledge/testing'
import t from 'tap'
import { ArgumentsError, parseKeysCommand } from '../../src/cli/keys-arguments.ts'

/** `npm run keys -- …`, as a process. */
async function keys(args: string[], env: Record<string, string>) {
  const { code, stdout: out, stderr: note } = await runCommand('gateway/src/cli/keys.ts', { args, env })
  return { code, out, note }
}

t.test('a key is made, listed without its secret, and revoked', async (t) => {
  const { url } = await redisServerForTest(t)
  const env = { REDIS_URL: url }
  t.match(await keys(['list'], env), { code: 0, out: '', note: /There are no keys/ })
  const made = await keys(['create', '--tenant', 'school-a', '--rpm', '5', '--name', 'web app'], env)
  t.match(made, {
    code: 0,
    out: /^kae_[\w-]{43}\n$/,
    note: /^Key [0-9a-f]{16} of tenant school-a, until .*\nLimits of school-a: rpm 5\.\n/,
  })
  t.notOk(made.note.includes('changed'))
  const again = await keys(['create', '--tenant', 'school-a', '--rpm', '7', '--expires-in-days', '1'], env)
  t.match(again.note, /Limits of school-a: rpm 7 \(changed for all its keys: before, rpm 5\)/)
  t.match(await keys(['limits', '--tenant', 'school-a', '--rpm', 'none', '--tpd', '9'], env), {
    note: /: tpd 9 \(changed/,
  })

  const listed = await keys(['list'], env)
  const [head, first = '', second = ''] = listed.out.trimEnd().split('\n')
  t.match(head, /^id +tenant +name +state +created +expires +tenant's limits$/)
  t.match(first, /^[0-9a-f]{16} +school-a +web app +valid +\d{4}-\d\d-\d\d +\d{4}-\d\d-\d\d +tpd 9$/)
  const inJson = await keys(['list', '--json'], env)
  const rows = JSON.parse(inJson.out) as { id: string; created: string; expires: string }[]
  t.match(rows, [{ id: first.slice(0, 16), tenant: 'school-a', name: 'web app', limits: { tpd: 9 } }, { name: null }])
  const days = rows.map(({ created, expires }) => Math.round((Date.parse(expires) - Date.parse(created)) / 86_400_000))
  t.same(days, [365, 1])
  for (const { out, note } of [listed, inJson])
    for (const secret of [made.out.trim(), again.out.trim()]) t.notOk((out + note).includes(secret.slice(4)))

  t.match(await keys(['revoke', second.slice(0, 16)], env), { code: 0, out: '', note: /Revoked/ })
  const audited = (await keys(['audit'], env)).out
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as object)
  t.match(audited, [
    { at: /^\d{4}-.*Z$/, action: 'limits', tenant: 'school-a', limits: '{"rpm":5}' },
    { action: 'create', key: first.slice(0, 16), tenant: 'school-a' },
    { action: 'limits' },
    { action: 'create', key: second.slice(0, 16) },
    { action: 'limits' },
    { action: 'revoke', key: second.slice(0, 16) },
  ])
  t.match(await keys(['revoke', second.slice(0, 16)], env), { code: 1, out: '', note: /There is no key/ })
  t.equal((JSON.parse((await keys(['list', '--json'], env)).out) as []).length, 1)
})

t.test('what is wrong is said before anything is changed, with the flag and its bound', async (t) => {
  const table: [args: string[], message: RegExp][] = [
    [[], /^Usage:/],
    [['make'], /There is no command make/],
    [['create'], /--tenant must be 1 to 64/],
    [['create', '--tenant', 'School A'], /--tenant must be 1 to 64 small letters/],
    [['create', '--tenant', '-a'], /--tenant/],
    [['create', '--tenant', 'a'.repeat(65)], /--tenant must be 1 to 64/],
    [['create', '--tenant', 'a', '--rpm', '0'], /--rpm must be a whole number from 1 to 1000000000000, not 0/],
    [['create', '--tenant', 'a', '--tpd', '1e3'], /--tpd must be a whole number/],
    [['create', '--tenant', 'a', '--rpd', '1.5'], /--rpd/],
    [['create', '--tenant', 'a', '--tpm', ''], /--tpm/],
    [
      ['create', '--tenant', 'a', '--expires-in-days', '3651'],
      /--expires-in-days must be a whole number from 1 to 3650/,
    ],
    [['create', '--tenant', 'a', '--name', ''], /--name must have 1 to 100 characters/],
    [['create', '--tenant', 'a', '--name', 'a\nb'], /--name/],
    [['create', '--tenant', 'a', '--rmp', '5'], /'--rmp'/],
    [['create', '--tenant', 'a', 'b'], /create does not take b/],
    [['limits', '--tenant', 'a'], /limits needs one of --rpm/],
    [['list', '--tenant', 'a'], /'--tenant'/],
    [['revoke'], /revoke needs the id of a key: 16 hex digits/],
    [['revoke', 'kae_a-key-by-mistake'], /^(?!.*mistake).*16 hex digits/],
  ]
  for (const [args, message] of table) {
    const error = t.throws(() => parseKeysCommand(args), ArgumentsError) as ArgumentsError
    t.match(error.message, message, args.join(' '))
  }
  t.match(await keys(['create', '--tenant', 'A'], {}), { code: 1, out: '', note: /^--tenant/ })
})

t.test('without Redis it says what to set', async (t) => {
  const { url, process: server } = await redisServerForTest(t)
  server.kill('SIGKILL')
  t.match(await keys(['list'], { REDIS_URL: url }), { code: 1, out: '', note: /^Redis cannot be reached: REDIS_URL/ })
  t.match(await keys(['list'], { REDIS_ENABLED: 'false' }), { code: 1, note: /REDIS_ENABLED=false: .*REDIS_URL/ })
})
