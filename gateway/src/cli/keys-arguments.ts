import { type ParseArgsConfig, parseArgs } from 'node:util'
import { limitNames } from '../auth/api-keys.ts'

/** `undefined` takes a limit away. */
export type LimitChanges = { [name in (typeof limitNames)[number]]?: number | undefined }

export type KeysCommand =
  | {
      name: 'create'
      tenant: string
      keyName: string | undefined
      expiresInDays: number
      limits: LimitChanges
    }
  | { name: 'limits'; tenant: string; limits: LimitChanges }
  | { name: 'list'; json: boolean }
  | { name: 'revoke'; id: string }
  | { name: 'audit' }

const usage = `Usage:
  npm run keys -- create --tenant <id> [--name <text>] [--expires-in-days <n>] [--rpm <n>] [--rpd <n>] [--tpm <n>] [--tpd <n>]
  npm run keys -- limits --tenant <id> [--rpm <n>] [--rpd <n>] [--tpm <n>] [--tpd <n>]
  npm run keys -- list [--json]
  npm run keys -- revoke <id>
  npm run keys -- audit

A key expires after 365 days if nothing else is said. Limits are the tenant's, shared by all of its keys; "none" takes one
away. Redis is found by the REDIS_* settings.`

/** What a person has to type differently: the message says it. */
export class ArgumentsError extends Error {
  override readonly name = 'ArgumentsError'
}

const text = { type: 'string' } as const
const limitFlags = { rpm: text, rpd: text, tpm: text, tpd: text }
const flagsOf: Record<KeysCommand['name'], NonNullable<ParseArgsConfig['options']>> = {
  create: { tenant: text, name: text, 'expires-in-days': text, ...limitFlags },
  limits: { tenant: text, ...limitFlags },
  list: { json: { type: 'boolean' } },
  revoke: {},
  audit: {},
}

type Flags = ReturnType<typeof parseArgs>['values']

/** What was typed after `npm run keys --`. Throws ArgumentsError that names the flag and its bound. */
export function parseKeysCommand([name = '', ...rest]: string[]): KeysCommand {
  if (!(name in flagsOf)) throw new ArgumentsError(name === '' ? usage : `There is no command ${name}.\n\n${usage}`)
  const command = name as KeysCommand['name']
  const { flags, operands } = parsed(command, rest)
  if (operands.length > (command === 'revoke' ? 1 : 0))
    throw new ArgumentsError(`${command} does not take ${operands.at(-1)}.\n\n${usage}`)
  switch (command) {
    case 'create':
      return {
        name: command,
        tenant: tenantIn(flags),
        keyName: nameIn(flags),
        expiresInDays: wholeIn({ 'expires-in-days': '365', ...flags }, 'expires-in-days', 3_650),
        limits: limitsIn(flags),
      }
    case 'limits': {
      const limits = limitsIn(flags)
      if (Object.keys(limits).length === 0)
        throw new ArgumentsError('limits needs one of --rpm, --rpd, --tpm and --tpd.')
      return { name: command, tenant: tenantIn(flags), limits }
    }
    case 'list':
      return { name: command, json: flags.json === true }
    case 'revoke':
      return { name: command, id: idIn(operands) }
    case 'audit':
      return { name: command }
  }
}

function parsed(command: KeysCommand['name'], args: string[]): { flags: Flags; operands: string[] } {
  try {
    const { values, positionals } = parseArgs({ args, options: flagsOf[command], allowPositionals: true })
    return { flags: values, operands: positionals }
  } catch (error) {
    throw new ArgumentsError(`${(error as Error).message.split('. ', 1)[0]}.\n\n${usage}`) // names the flag
  }
}

function tenantIn({ tenant }: Flags): string {
  if (typeof tenant === 'string' && /^[a-z0-9][a-z0-9._-]{0,63}$/.test(tenant)) return tenant
  throw new ArgumentsError(
    '--tenant must be 1 to 64 small letters, digits, dots, underscores or dashes, and begin with a letter or digit.',
  )
}

function nameIn({ name }: Flags): string | undefined {
  if (name === undefined || (typeof name === 'string' && /^[^\p{Cc}]{1,100}$/u.test(name))) return name
  throw new ArgumentsError('--name must have 1 to 100 characters in one line.')
}

function limitsIn(flags: Flags): LimitChanges {
  const given = limitNames.filter((name) => flags[name] !== undefined)
  return Object.fromEntries(
    given.map((name) => [name, flags[name] === 'none' ? undefined : wholeIn(flags, name, 1_000_000_000_000)]),
  )
}

function wholeIn(flags: Flags, name: string, largest: number): number {
  const value = /^\d+$/.test(String(flags[name])) ? Number(flags[name]) : 0
  if (value >= 1 && value <= largest) return value
  throw new ArgumentsError(`--${name} must be a whole number from 1 to ${largest}, not ${flags[name]}.`)
}

function idIn([id]: string[]): string {
  if (id !== undefined && /^[0-9a-f]{16}$/.test(id)) return id
  throw new ArgumentsError('revoke needs the id of a key: 16 hex digits, as list shows them.') // never repeats a key
}
