import type { FaultKind, FaultSpec, Random } from '@knowalledge/gemini-emulator'
import type { FaultMode } from '@knowalledge/testing'

/** One fault: it begins not before `atMs` of the run and is mended `forMs` later. */
export type Step = { atMs: number; forMs: number } & Fault

export type Fault =
  | { on: 'processes'; what: 'SIGKILL' | 'SIGTERM' | 'add' | 'SIGSTOP'; member: string }
  | { on: 'processes'; what: 'SIGSTOP at a grant' }
  | { on: 'processes'; what: 'change of configuration'; change: Change }
  | { on: 'processes'; what: 'SIGKILL of all, Redis emptied' }
  | { on: 'redis'; what: PlainRedisFault }
  | { on: 'redis'; what: Partition; members: readonly string[]; mode: FaultMode }
  | { on: 'gemini'; what: FaultKind; spec: FaultSpec }

/** What a rolling deploy changes: the ring's length, and a limit that becomes smaller. */
export interface Change {
  transitMs: number
  rpm: number
}

export type RedisFault = keyof typeof redisFaults
export type Partition = Extract<RedisFault, `partition${string}`>
export type PlainRedisFault = Exclude<RedisFault, Partition>

/** How long a fault of a kind lasts, and how long it is calm after it. */
type Length = 'brief' | 'longer than a window' | 'with a hold'

/**
 * What networks, machines and operators do to Redis. Bytes that are swallowed are followed by the end of the connection:
 * TCP never loses some and delivers later ones. Faults that lose state or writes put the pool on hold.
 */
const redisFaults = {
  hang: 'brief',
  cut: 'brief',
  refuse: 'brief',
  'swallow requests, then cut': 'brief',
  'swallow replies, then cut': 'brief',
  'cut instead of a reply': 'brief',
  'outage longer than a window': 'longer than a window',
  'partition of some instances': 'brief',
  'partition of some instances, longer than a window': 'longer than a window',
  full: 'brief',
  'read-only': 'brief',
  'too few replicas': 'brief',
  'restart, empty': 'with a hold',
  'restart with an old snapshot': 'with a hold',
  'failover that loses writes': 'with a hold',
  'replaced by the data of an empty primary': 'with a hold',
} as const satisfies Record<string, Length>

const pause = { retryDelay: '1s', times: 1 }
const often = { times: 4 }

/**
 * How Gemini fails and lies. Not here: what rightly stops the system for a minute or until midnight (a day's limit, spent
 * credits) and what tells of a wrong key or model; these have tests of their own.
 */
const geminiFaults: FaultSpec[] = [
  { kind: '429_rpm', ...pause },
  { kind: '429_input_tpm', ...pause },
  { kind: '429_bare', times: 1 },
  { kind: '500', ...often },
  { kind: '503', share: 0.7 },
  { kind: 'hang', times: 2 },
  { kind: 'reset', ...often },
  { kind: 'reset_mid_body', ...often },
  { kind: 'truncated_json', ...often },
  { kind: 'wrong_json', ...often },
  { kind: 'wrong_shape', ...often },
  { kind: 'refusal_text', ...often },
  { kind: 'poor_quality', ...often, match: { task: 'text' } },
  { kind: 'thought_parts', ...often },
  { kind: 'safety_prompt', ...often },
  { kind: 'safety_candidate', ...often },
  { kind: 'max_tokens', ...often },
  { kind: 'empty_candidates', ...often },
  { kind: 'no_usage', ...often },
]

/** Every kind of fault, as `on what`. */
export const faultKinds: readonly string[] = [
  ...['SIGKILL', 'SIGTERM', 'add', 'SIGSTOP', 'SIGSTOP at a grant'].map((what) => `processes ${what}`),
  ...['change of configuration', 'SIGKILL of all, Redis emptied'].map((what) => `processes ${what}`),
  ...Object.keys(redisFaults).map((what) => `redis ${what}`),
  ...geminiFaults.map(({ kind }) => `gemini ${kind}`),
]

export interface Setting {
  /** Undefined: until each kind of fault of processes and of Redis was played once. */
  forMs: number | undefined
  windowMs: number
  /** Length of the quota's hold after state was lost. */
  holdMs: number
  /** What a change of configuration may choose from. */
  changes: readonly Change[]
  /** Names of the places where processes run, and which of these reserve quota. */
  running: readonly string[]
  services: readonly string[]
  /** Names of those where one is added. */
  spare: readonly string[]
}

type Range = [least: number, most: number]

interface Card {
  fault: Fault
  lasts: Range
  /** Between its end and the beginning of the next. */
  calm: Range
}

/** The faults of a run, decided by the seed alone: every kind of them as soon as there is time, then at random. */
export function planFaults(random: Random, setting: Setting): Step[] {
  const { forMs, running, spare } = setting
  const adds = spare.map((member) => start({ on: 'processes', what: 'add', member }, [0, 0]))
  let isFirst = true
  const onProcesses = () => {
    const others = [...(isFirst ? adds : []), ...ends(random, isFirst ? running : [...running, ...spare])]
    isFirst = false
    return random
      .shuffle([...[...others, ...stops(random, setting)].map((card) => [card]), deploys(random, setting)])
      .flat()
  }
  const onGemini = () =>
    random.shuffle(geminiFaults).map((spec): Card => {
      return { fault: { on: 'gemini', what: spec.kind, spec }, lasts: [500, 2_000], calm: [200, 2_000] }
    })
  const steps = [...deal(random, onProcesses, forMs), ...deal(random, () => redisCards(random, setting), forMs)]
  const lastMs = Math.max(...steps.map(({ atMs, forMs }) => atMs + forMs))
  return [...steps, ...deal(random, onGemini, lastMs)].sort((one, other) => one.atMs - other.atMs)
}

/** Time for a process to start is part of the calm. */
function start(fault: Fault, lasts: Range): Card {
  return { fault, lasts, calm: [2_000, 3_000] }
}

function ends(random: Random, members: readonly string[]): Card[] {
  return random
    .shuffle(members)
    .map((member, at) => start({ on: 'processes', what: at % 2 === 0 ? 'SIGKILL' : 'SIGTERM', member }, [0, 1_000]))
}

function stops(random: Random, setting: Setting): Card[] {
  return [
    {
      fault: { on: 'processes', what: 'SIGSTOP', member: random.pick(setting.services) },
      lasts: [1_500, 2_500],
      calm: [800, 1_800],
    },
    { fault: { on: 'processes', what: 'SIGSTOP at a grant' }, ...pace('longer than a window', setting) },
  ]
}

/** A change is taken back when all are restarted: else every later fault would meet the smaller limit. */
function deploys(random: Random, setting: Setting): Card[] {
  const { calm } = pace('with a hold', setting)
  const change = random.pick(setting.changes)
  return [
    { fault: { on: 'processes', what: 'change of configuration', change }, lasts: calm, calm: [4_000, 5_000] }, // time for the deploy itself
    { fault: { on: 'processes', what: 'SIGKILL of all, Redis emptied' }, lasts: [4_000, 4_000], calm },
  ]
}

function redisCards(random: Random, setting: Setting): Card[] {
  const { services } = setting
  const modes: FaultMode[] = ['refuse', 'swallow-requests', 'swallow-replies']
  return random.shuffle(Object.keys(redisFaults) as RedisFault[]).map((what) => {
    const some = 1 + Math.floor(random.next() * (services.length - 1))
    const members = random.shuffle(services).slice(0, some)
    const fault: Fault = isPartition(what)
      ? { on: 'redis', what, members, mode: random.pick(modes) }
      : { on: 'redis', what }
    return { fault, ...pace(redisFaults[what], setting) }
  })
}

function isPartition(what: RedisFault): what is Partition {
  return what.startsWith('partition')
}

/** After a hold there is time for grants, which the next fault may make the system forget. */
function pace(length: Length, { windowMs, holdMs }: Setting): Pick<Card, 'lasts' | 'calm'> {
  const briefly: Range = [800, 1_800]
  if (length === 'brief') return { lasts: [300, 1_800], calm: briefly }
  if (length === 'longer than a window') return { lasts: [1.2 * windowMs, 1.3 * windowMs], calm: briefly }
  return { lasts: [300, 1_500], calm: [holdMs + 1_000, holdMs + 2_000] }
}

/** One after the other, from a deck that is made again when it is empty; without `forMs` a single one. */
function deal(random: Random, shuffled: () => Card[], forMs: number | undefined): Step[] {
  const within = ([least, most]: Range) => Math.round(least + random.next() * (most - least))
  const steps: Step[] = []
  let deck = shuffled()
  for (let atMs = within([200, 1_500]); ; ) {
    if (deck.length === 0 && forMs !== undefined) deck = shuffled()
    const card = deck.shift()
    if (card === undefined) return steps
    const step = { ...card.fault, atMs, forMs: within(card.lasts) }
    if (forMs !== undefined && atMs + step.forMs > forMs) return steps
    steps.push(step)
    atMs += step.forMs + within(card.calm)
  }
}
