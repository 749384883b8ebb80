import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from '@knowalledge/gemini-emulator'
import { faultOf, type Reply } from './contract.ts'
import type { Member, Span } from './fleet.ts'
import { ask } from './http.ts'
import type { Question } from './questions.ts'

/**
 * How much later than the deadline an answer may arrive here: the gateway's timers for a service that hangs are up to a
 * second late, and the machine is busy with everything at once.
 */
const deadlineGraceMs = 2_500

export interface LoadOptions {
  /** URLs of the gateways; like any load balancer it tries the next one where nobody listens. */
  gateways: () => readonly Member[]
  /** When all of them are down on purpose. Default never. */
  down?: readonly Span[]
  /** Arrivals, as they are now: may change while it runs. */
  perSecond: () => number
  next: () => Question | Promise<Question>
  random: Random
  /** By when the gateway owes an answer. */
  deadlineMs: number
}

export interface Tally {
  asked: number
  answered: number
  /** By status, and by the error's name where there is one. */
  replies: Map<string, number>
  /** Explanations that failed within an answer. */
  failedItems: number
  /** Answers by what their `X-Model` says. */
  models: Map<string, number>
  /** Replies that break the contract, that crossed, or that never came: with what is known of each. */
  broken: string[]
  /** In flight at a gateway when it was SIGKILLed, or sent while all were down: nobody can answer these. */
  lostWithGateway: number
  /** Went to another gateway because nobody listened. */
  retriedElsewhere: number
  longestMs: number
  /** The most that this process was late with an arrival: it, too, has to share the machine. */
  driverLateMs: number
}

export interface Load {
  tally: Tally
  /** Ends the arrivals and waits for every answer. */
  stop(): Promise<Tally>
}

/** Open loop: questions arrive at random distances, whether or not those before have their answer. */
export function startLoad(options: LoadOptions): Load {
  const tally = emptyTally()
  const running = new Set<Promise<void>>()
  const over = new AbortController()
  const arrivals = arrive(options, tally, running, over.signal)
  return {
    tally,
    async stop() {
      over.abort()
      await arrivals
      await Promise.all(running)
      return tally
    },
  }
}

function emptyTally(): Tally {
  const counts = {
    asked: 0,
    answered: 0,
    failedItems: 0,
    lostWithGateway: 0,
    retriedElsewhere: 0,
    longestMs: 0,
    driverLateMs: 0,
  }
  return { ...counts, replies: new Map(), models: new Map(), broken: [] }
}

async function arrive(
  options: LoadOptions,
  tally: Tally,
  running: Set<Promise<void>>,
  over: AbortSignal,
): Promise<void> {
  const { random, perSecond, next } = options
  for (let dueAt = performance.now(); !over.aborted; dueAt += (-Math.log(1 - random.next()) * 1000) / perSecond()) {
    const question = await next()
    const earlyMs = dueAt - performance.now()
    if (earlyMs > 0) await sleep(earlyMs, undefined, { signal: over }).catch(() => {}) // over: no arrival any more
    if (over.aborted) return
    tally.driverLateMs = Math.max(tally.driverLateMs, performance.now() - dueAt)
    const asking: Promise<void> = askOnce(question, options, tally).finally(() => running.delete(asking))
    running.add(asking)
  }
}

let requests = 0

async function askOnce(question: Question, { gateways, down, deadlineMs }: LoadOptions, tally: Tally): Promise<void> {
  const requestId = `proof-${++requests}`
  const turn = requests
  tally.asked += 1
  const startedAtMs = Date.now()
  const signal = AbortSignal.timeout(deadlineMs + deadlineGraceMs)
  const doors = gateways()
  for (let tried = 0; tried < doors.length; tried++) {
    const door = doors[(turn + tried) % doors.length] as Member
    try {
      const headers = { ...question.headers, 'x-request-id': requestId }
      const reply = await ask(door.url + question.path, {
        method: question.method,
        headers,
        body: question.body,
        signal,
      })
      tally.longestMs = Math.max(tally.longestMs, Date.now() - startedAtMs)
      return await count(question, requestId, reply, tally)
    } catch (error) {
      const { code, name } = error as NodeJS.ErrnoException
      if (code === 'ECONNREFUSED') {
        tally.retriedElsewhere += 1
        continue
      }
      if (door.kills.some(({ untilMs }) => untilMs >= startedAtMs)) tally.lostWithGateway += 1
      else
        tally.broken.push(
          `${question.route} at ${door.name}: ${signal.aborted ? 'UNANSWERED at its deadline' : `${code ?? name}`}`,
        )
      return
    }
  }
  if (down?.some(({ fromMs, untilMs }) => fromMs <= Date.now() && startedAtMs <= untilMs)) tally.lostWithGateway += 1
  else tally.broken.push(`${question.route}: nobody listened at any gateway`)
}

async function count(question: Question, requestId: string, reply: Reply, tally: Tally): Promise<void> {
  const fault = await faultOf(question, requestId, reply)
  const error = /^\{"error":"(\w+)"/.exec(reply.body.subarray(0, 60).toString())?.[1]
  const kind = error ? `${reply.status} ${error}` : String(reply.status)
  tally.replies.set(kind, (tally.replies.get(kind) ?? 0) + 1)
  if (fault !== undefined) tally.broken.push(`${question.route} (${requestId}): ${fault}`)
  else if (reply.status === 200) {
    tally.answered += 1
    tally.failedItems += Number(/"failed_count":(\d+)/.exec(reply.body.toString())?.[1] ?? 0)
    const model = String(reply.headers['x-model'])
    tally.models.set(model, (tally.models.get(model) ?? 0) + 1)
  }
}
