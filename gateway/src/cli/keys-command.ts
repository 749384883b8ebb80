import { type ApiKey, type ApiKeys, limitNames, type TenantLimits } from '../auth/api-keys.ts'
import { ArgumentsError, type KeysCommand, type LimitChanges } from './keys-arguments.ts'

/** `out` is for scripts (the key alone, or the list), `note` for a person. */
export interface Said {
  out?: string
  note?: string
}

export interface KeysContext {
  keys: ApiKeys
  /** Milliseconds since the epoch. */
  clock: () => number
}

const dayMs = 86_400_000

/** Carries a command out and describes the result. Throws ArgumentsError when there is no such key. */
export async function runKeysCommand(command: KeysCommand, context: KeysContext): Promise<Said> {
  switch (command.name) {
    case 'create':
      return create(command, context)
    case 'limits':
      return { note: await changeLimits(command, context) }
    case 'list':
      return list(command, context)
    case 'audit':
      return { out: (await context.keys.audit()).map((event) => JSON.stringify(event)).join('\n') }
    case 'revoke':
      if (!(await context.keys.revoke(command.id)))
        throw new ArgumentsError(`There is no key ${command.id}: \`list\` shows those that there are.`)
      return { note: `Revoked ${command.id}: within 5 s no gateway lets it in, nor a session made with it.` }
  }
}

type Create = Extract<KeysCommand, { name: 'create' }>

async function create({ tenant, keyName, expiresInDays, limits }: Create, context: KeysContext): Promise<Said> {
  const expiresAtMs = context.clock() + expiresInDays * dayMs
  const aboutLimits = await changeLimits({ tenant, limits }, context)
  const { secret, key } = await context.keys.create({ tenant, name: keyName, expiresAtMs })
  const note = [
    `Key ${key.id} of tenant ${tenant}, until ${new Date(expiresAtMs).toISOString().slice(0, 10)}.`,
    aboutLimits,
    'The key itself is shown only now; keep it where secrets are kept:',
  ]
  return { out: secret, note: note.join('\n') }
}

/** Says what holds now, and what held before if that was something else. */
async function changeLimits(
  { tenant, limits }: { tenant: string; limits: LimitChanges },
  { keys }: KeysContext,
): Promise<string> {
  const before = await keys.limitsOf(tenant)
  await keys.setLimits(tenant, limits)
  const now = await keys.limitsOf(tenant)
  const changed = limitNames.some((name) => before[name] !== undefined && before[name] !== now[name])
  return `Limits of ${tenant}: ${limitsText(now)}${changed ? ` (changed for all its keys: before, ${limitsText(before)})` : ''}.`
}

async function list({ json }: { json: boolean }, { keys }: KeysContext): Promise<Said> {
  const all = await keys.list()
  const tenants = [...new Set(all.map((key) => key.tenant))]
  const limits = new Map(
    await Promise.all(tenants.map(async (id): Promise<[string, TenantLimits]> => [id, await keys.limitsOf(id)])),
  )
  const rows = all.map((key) => describe(key, { limits: limits.get(key.tenant) ?? {}, expired: keys.hasExpired(key) }))
  if (json) return { out: JSON.stringify(rows, null, 2) }
  if (rows.length === 0) return { note: 'There are no keys: `npm run keys -- create --tenant <id>` makes one.' }
  return { out: table(rows) }
}

function describe(key: ApiKey, { limits, expired }: { limits: TenantLimits; expired: boolean }) {
  return {
    id: key.id,
    tenant: key.tenant,
    name: key.name ?? null,
    state: expired ? 'expired' : 'valid',
    created: new Date(key.createdAtMs).toISOString(),
    expires: new Date(key.expiresAtMs).toISOString(),
    limits,
  }
}

function table(rows: ReturnType<typeof describe>[]): string {
  const lines = [
    ['id', 'tenant', 'name', 'state', 'created', 'expires', "tenant's limits"],
    ...rows.map(({ id, tenant, name, state, created, expires, limits }) => [
      id,
      tenant,
      name ?? '',
      state,
      created.slice(0, 10),
      expires.slice(0, 10),
      limitsText(limits),
    ]),
  ]
  const widths = (lines[0] as string[]).map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)))
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function limitsText(limits: TenantLimits): string {
  const given = limitNames.flatMap((name) => (limits[name] === undefined ? [] : [`${name} ${limits[name]}`]))
  return given.length === 0 ? 'none of its own' : given.join(', ')
}
