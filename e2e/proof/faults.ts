import type { FaultKind, FaultSpec, Random } from '@knowalledge/gemini-emulator'

/** One fault: it begins not before `atMs` of the run and is mended `forMs` later. */
export type Step = { atMs: number; forMs: number } & Fault

type Fault =
  | { on: 'processes'; what: 'SIGKILL' | 'SIGTERM' | 'add'; member: string }
  | { on: 'redis'; what: RedisFault }
  | { on: 'gemini'; what: FaultKind; spec: FaultSpec }

export type RedisFault = (typeof redisFaults)[number]

/**
 * What networks and machines do to Redis. Bytes that are swallowed are followed by the end of the connection: TCP never
 * loses some and delivers later ones.
 */
const redisFaults = [
  'hang',
  'cut',
  'refuse',
  'swallow requests, then cut',
  'swallow replies, then cut',
  'cut instead of a reply',
  'restart, empty',
] as const

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

export interface Places {
  /** Names of the places where processes run. */
  running: readonly string[]
  /** Names of those where one is added. */
  spare: readonly string[]
}

/** The faults of a run, decided by the seed alone: every kind of them as soon as there is time, then at random. */
export function planFaults(random: Random, forMs: number, { running, spare }: Places): Step[] {
  const ends = (members: readonly string[]) =>
    random.shuffle(members).map((member, at): Fault => {
      return { on: 'processes', what: at % 2 === 0 ? 'SIGKILL' : 'SIGTERM', member }
    })
  const adds = spare.map((member): Fault => ({ on: 'processes', what: 'add', member }))
  const first = random.shuffle([...ends(running), ...adds])
  const onProcesses = () => (first.length > 0 ? first.splice(0) : ends([...running, ...spare]))
  const onRedis = (): Fault[] => random.shuffle(redisFaults).map((what) => ({ on: 'redis', what }))
  const onGemini = (): Fault[] => random.shuffle(geminiFaults).map((spec) => ({ on: 'gemini', what: spec.kind, spec }))
  return [
    ...deal(random, onProcesses, { forMs, fault: [0, 1_500], calm: [1_500, 3_500] }),
    ...deal(random, onRedis, { forMs, fault: [100, 2_500], calm: [1_500, 6_000] }),
    ...deal(random, onGemini, { forMs, fault: [500, 2_000], calm: [200, 2_000] }),
  ].sort((one, other) => one.atMs - other.atMs)
}

interface Pace {
  forMs: number
  fault: [least: number, most: number]
  /** Between the end of one and the beginning of the next. */
  calm: [least: number, most: number]
}

/** One after the other, from a deck that is shuffled again when it is empty. */
function deal(random: Random, shuffled: () => Fault[], pace: Pace): Step[] {
  const between = ([least, most]: [number, number]) => Math.round(least + random.next() * (most - least))
  const steps: Step[] = []
  let deck: Fault[] = []
  for (let atMs = between(pace.calm); ; ) {
    const forMs = between(pace.fault)
    if (atMs + forMs > pace.forMs) return steps
    if (deck.length === 0) deck = shuffled()
    steps.push({ ...(deck.pop() as Fault), atMs, forMs })
    atMs += forMs + between(pace.calm)
  }
}
