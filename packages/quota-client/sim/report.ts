import type { Failure, Outcome } from './outcome.ts'
import type { Fault, Load, Schedule } from './schedule.ts'

/** What the outcomes of one kind of schedule add up to. */
export interface Tally {
  schedules: number
  failed: number
  over: number
  worst: number
  used: number
  holds: number
  longestGapMs: number
}

export function count(tallies: Map<string, Tally>, kind: string, outcome: Omit<Outcome, 'timeline'>): void {
  const none = { schedules: 0, failed: 0, over: 0, worst: 0, used: 0, holds: 0, longestGapMs: 0 }
  const tally = tallies.get(kind) ?? none
  tally.schedules += 1
  if (outcome.failures.length > 0) tally.failed += 1
  if (outcome.failures.some(({ kind }) => kind === 'over the limit')) tally.over += 1
  tally.worst = Math.max(tally.worst, outcome.worst)
  tally.used += outcome.used
  tally.holds += outcome.holds
  tally.longestGapMs = Math.max(tally.longestGapMs, outcome.longestGapMs)
  tallies.set(kind, tally)
}

export function table(tallies: Map<string, Tally>): string {
  const columns = ['kind', 'schedules', 'failed', 'over the limit', 'worst', 'used', 'holds', 'longest without a grant']
  const rows = [...tallies].map(([kind, { schedules, failed, over, worst, used, holds, longestGapMs }]) => [
    kind,
    String(schedules),
    String(failed),
    String(over),
    `${worst.toFixed(2)} ×`,
    `${((100 * used) / schedules).toFixed(0)} %`,
    String(holds),
    `${(longestGapMs / 1000).toFixed(0)} s`,
  ])
  const widths = columns.map((name, at) => Math.max(name.length, ...rows.map((row) => row[at]?.length ?? 0)))
  const line = (cells: string[]) =>
    cells.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join('  ')
  return [line(columns), ...rows.map(line)].join('\n')
}

function describeFailures(failures: Failure[]): string {
  return failures.map(({ kind, atMs, text }) => `${kind} at ${seconds(atMs)}: ${text}`).join('\n')
}

/** A failing schedule in words: what it consists of, and what happened. */
export function describe(schedule: Schedule, { timeline, failures }: Pick<Outcome, 'timeline' | 'failures'>): string {
  const { configuration, members, kind, seed } = schedule
  const { rpm, rpd, tpm, tpd } = configuration.limits
  return [
    `kind "${kind}", seed ${seed}: node packages/quota-client/sim/main.ts --kind "${kind}" --seed ${seed}`,
    describeFailures(failures),
    `members ${members.join(', ')}; rpm ${rpm}, rpd ${rpd}, tpm ${tpm}, tpd ${tpd}; transitMs ${configuration.transitMs}`,
    ...schedule.loads.map(describeLoad),
    ...timeline.map((line) => `  ${line}`),
  ].join('\n')
}

function describeLoad({ kind, size, everyMs, tenant, priority, startsAfterMs, waits }: Load): string {
  const of = tenant === undefined ? '' : ` of tenant ${tenant}`
  const late = startsAfterMs === 0 ? '' : `, started ${Math.round(startsAfterMs)} ms later`
  const clients = waits?.clients ? ` for ${waits.clients} clients` : ''
  const inLine = waits ? `, waiting up to ${seconds(waits.mostMs)}${clients}` : ''
  return `load: ${kind} of ${size}${of}, ${priority}, about every ${seconds(everyMs)} at each member${late}${inLine}`
}

export function describeFault(fault: Fault): string {
  const who = 'members' in fault ? fault.members.join(', ') : 'Redis'
  const lasts = 'forMs' in fault ? ` for ${seconds(fault.forMs)}` : ''
  switch (fault.type) {
    case 'cut':
      return `${who} cut off from Redis${lasts}`
    case 'lose':
      return `${Math.round(100 * fault.share)} % of the ${fault.what} of ${who} lost${lasts}`
    case 'duplicate':
      return `${Math.round(100 * fault.share)} % of the requests of ${who} arrive twice, up to ${seconds(fault.straggleMs)} later${lasts}`
    case 'reorder':
      return `messages of ${who} overtake each other by up to ${seconds(fault.straggleMs)}${lasts}`
    case 'slow':
      return `messages of ${who} take ${Math.round(fault.delayMs)} to ${Math.round(fault.delayMs + fault.jitterMs)} ms${lasts}`
    case 'die': {
      const clock = fault.clockStepMs === 0 ? '' : `, on a machine whose clock differs by ${seconds(fault.clockStepMs)}`
      const data = fault.data === 'rolled back' ? `the last ${seconds(fault.lostMs)} lost` : fault.data
      return `Redis is down${lasts}, data: ${data}${clock}`
    }
    case 'fail over and back':
      return `Redis A fails over to B without the last ${seconds(fault.lostMs)}, after${lasts.slice(4)} to A with the data ${fault.data === 'own' ? 'of A' : 'of B'}; down for ${seconds(fault.downMs)} each time`
    case 'flush':
      return 'the state is evicted'
    case 'evict lines':
      return `lost: ${fault.keys.join(', ')}`
    case 'refuse writes':
      return `Redis refuses writes${lasts}: ${fault.error.split(' ')[0]}`
    case 'step clock':
      return `Redis's clock${fault.withWalls ? ' and all wall clocks step' : ' steps'} by ${seconds(fault.ms)}`
    case 'drift clock':
    case 'drift member':
      return `the clock of ${who} drifts by ${(100 * fault.share).toFixed(2)} %${lasts}`
    case 'step wall':
      return `the wall clock of ${who} steps by ${seconds(fault.ms)}`
    case 'join':
      return `${fault.name} joins${fault.configuration ? ` with ${JSON.stringify(fault.configuration)}` : ''}`
    case 'hang':
      return `Redis hangs${lasts}`
    case 'stop':
      return `SIGSTOP of ${who}${lasts}`
    case 'pause machine':
      return `the machine of ${who} is paused${lasts}`
    case 'crash':
      return `SIGKILL of ${who}`
    case 'close':
      return `SIGTERM of ${who}`
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(Math.abs(ms) < 1000 ? 3 : 1)} s`
}

/** Progress on a terminal as a bar, elsewhere as a line every tenth. */
export class Progress {
  readonly #total: number
  #done = 0
  #failed = 0

  constructor(total: number) {
    this.#total = total
  }

  step(hasFailed: boolean): void {
    this.#done += 1
    if (hasFailed) this.#failed += 1
    const { isTTY } = process.stderr
    const tenths = (done: number) => Math.floor((10 * done) / this.#total)
    if (!isTTY && tenths(this.#done) === tenths(this.#done - 1)) return
    const width = 40
    const filled = Math.round((width * this.#done) / this.#total)
    const bar = isTTY ? `${'█'.repeat(filled)}${'░'.repeat(width - filled)} ` : ''
    const text = `${bar}${this.#done} of ${this.#total} schedules, ${this.#failed} failed`
    process.stderr.write(isTTY ? `\r${text}${this.#done === this.#total ? '\n' : ''}` : `${text}\n`)
  }
}
