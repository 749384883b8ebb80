import type { Hold, QuotaClient, QuotaHealth, QuotaLimits } from '@knowalledge/quota-client'
import { remedyFor } from '@knowalledge/redis-kit'
import { type Logger, type ReadyCheck, setting } from '@knowalledge/service-kit'
import { type Static, Type } from 'typebox'

export const largestLimits = { rpm: 1_000_000, rpd: 1_000_000_000, tpm: 1_000_000_000, tpd: 1_000_000_000_000 } as const

export const quotaSettings = {
  QUOTA_POOL: Type.String({
    description: 'Name of the shared quota: one a Gemini project',
    default: 'gemini',
    pattern: '^[A-Za-z0-9_.-]{1,64}$',
    expectation: '1 to 64 letters, digits, dots, dashes or underscores',
  }),
  QUOTA_RPM: setting.wholeNumber('Requests in any minute', { default: 15, minimum: 1, maximum: largestLimits.rpm }),
  QUOTA_RPD: setting.wholeNumber('Requests a day', { default: 1_500, minimum: 1, maximum: largestLimits.rpd }),
  QUOTA_TPM: setting.wholeNumber('Tokens in any minute', {
    default: 1_000_000,
    minimum: 1,
    maximum: largestLimits.tpm,
  }),
  QUOTA_TPD: setting.wholeNumber('Tokens a day', { default: 50_000_000, minimum: 1, maximum: largestLimits.tpd }),
  QUOTA_TOKENS: setting.oneOf(
    ['total', 'input'],
    'Which tokens are charged: all that a call used, or those of its input, which Google counts against its TPM',
    { default: 'total' },
  ),
  QUOTA_WINDOW_MS: setting.wholeNumber('Length of the minute; another than 60000 only where a test scales time', {
    default: 60_000,
    minimum: 1_000,
    maximum: 60_000,
  }),
  QUOTA_TRANSIT_MS: setting.wholeNumber(
    'How much later than it was reserved a call may be sent; also the timeout of Redis',
    {
      default: 500,
      minimum: 50,
      maximum: 10_000,
    },
  ),
  QUOTA_SAFETY_MARGIN: setting.number('Part of each limit that explanations of a presentation may fill', {
    default: 0.8,
    exclusiveMinimum: 0,
    maximum: 1,
  }),
  QUOTA_NEW_POOL: setting.oneOf(
    ['hold', 'open'],
    'open: an empty Redis is used at once, without waiting one window; for development only',
    { default: 'hold' },
  ),
  QUOTA_OUTAGE_RPM: setting.wholeNumber(
    'Requests a minute that each service instance may use while Redis cannot be used; always subtracted from the shared limits',
    { default: 0, minimum: 0, maximum: 1_000_000 },
  ),
  QUOTA_MAX_INSTANCES: setting.wholeNumber(
    'Service instances for which QUOTA_OUTAGE_RPM is set aside; required with it',
    { default: 0, minimum: 0, maximum: 10_000 },
  ),
  CLIENT_SHARE_PER_DAY: setting.number("Part of a day's requests and tokens that one client may use; 1: all", {
    default: 0.25,
    exclusiveMinimum: 0,
    maximum: 1,
  }),
  QUOTA_ADAPTIVE_ESTIMATES: setting.flag('false: reserve the same tokens for good; true: learn what calls use', {
    default: true,
  }),
  QUOTA_DAY_TIMEZONE: Type.Refine(
    Type.String({
      description: 'IANA zone whose midnight ends the day',
      default: 'America/Los_Angeles',
      expectation: 'an IANA time zone such as America/Los_Angeles',
    }),
    isTimeZone,
    () => 'not a time zone',
  ),
}

const schema = Type.Object(quotaSettings)
export type QuotaConfig = Readonly<Static<typeof schema>>

/** The settings as the quota-client takes them. Throws a RangeError for outage budgets that do not fit the pool's limit. */
export function quotaOptions(config: QuotaConfig, { key, limits }: { key: string; limits: QuotaLimits }) {
  const { QUOTA_OUTAGE_RPM: rpm, QUOTA_MAX_INSTANCES: maxInstances } = config
  const limit = key === config.QUOTA_POOL ? 'QUOTA_RPM' : `the RPM of ${key}`
  if (rpm > 0 && (maxInstances === 0 || rpm * maxInstances >= limits.rpm))
    throw new RangeError(
      `QUOTA_OUTAGE_RPM × QUOTA_MAX_INSTANCES must be above 0 and below ${limit} (${limits.rpm}), not ${rpm} × ${maxInstances}`,
    )
  return {
    pool: key,
    limits,
    windowMs: config.QUOTA_WINDOW_MS,
    transitMs: config.QUOTA_TRANSIT_MS,
    safetyMargin: config.QUOTA_SAFETY_MARGIN,
    newPool: config.QUOTA_NEW_POOL,
    outage: rpm > 0 ? { rpm, maxInstances } : undefined,
    dayTimeZone: config.QUOTA_DAY_TIMEZONE,
  }
}

/** For `/ready` of a process without Redis. */
export const redisDisabled: ReadyCheck = { required: false, check: async () => ({ status: 'disabled', ok: true }) }

/** For `/ready`: what the quota last saw of Redis, which is whether it takes writes, not only whether it answers. */
export function quotaChecks(
  pools: readonly { name: string; quota: Pick<QuotaClient, 'health' | 'usage'> }[],
  { isObserver }: { isObserver: boolean },
): { redis: ReadyCheck; quota: ReadyCheck } {
  let reading: Promise<unknown> | undefined
  const health = async () => {
    // An observer has no heartbeats, and a member that has just started no answer yet. Both checks share one reading.
    const unknown = pools.filter(({ quota }) => isObserver || quota.health().state === 'joining')
    if (unknown.length > 0) {
      reading ??= Promise.all(unknown.map(({ quota }) => quota.usage())).finally(() => {
        reading = undefined
      })
      await reading
    }
    return pools.map(({ name, quota }) => ({ name, seen: quota.health() }))
  }
  return {
    redis: {
      required: false,
      async check() {
        for (const { seen } of await health())
          if (seen.state === 'unavailable') return { status: seen.cause, ok: false, remedy: remedyFor(seen.cause) }
        return { status: 'healthy', ok: true }
      },
    },
    quota: {
      required: false,
      async check() {
        const states = (await health()).map(({ name, seen }) => ({
          ...checkOf(seen),
          ...(pools.length > 1 && { pool: name }),
        }))
        return states.find(({ ok }) => !ok) ?? { status: 'serving', ok: true }
      },
    },
  }
}

function checkOf({ state, ...details }: QuotaHealth) {
  const shown =
    'endsInMs' in details ? { cause: details.cause, ends_in_seconds: Math.ceil(details.endsInMs / 1000) } : {}
  const instances =
    'maxInstances' in details ? { instances: details.instances, max_instances: details.maxInstances } : {}
  return { status: state, ok: state === 'serving', ...shown, ...instances }
}

/** Logs each hold of the quota. */
export function logHolds(log: Logger) {
  return ({ cause, endsInMs }: Hold): void =>
    log.warn({ cause, ends_in_seconds: Math.ceil(endsInMs / 1000) }, 'quota on hold: no new answers until it ends')
}

function isTimeZone(value: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: value })
    return true
  } catch {
    return false // the only thing that throws here is an unknown zone
  }
}
