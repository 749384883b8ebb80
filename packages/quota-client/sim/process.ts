import type { Runtime, Timer } from '../src/index.ts'
import type { Random } from './random.ts'
import type { Scheduled, VirtualTime } from './virtual-time.ts'

interface PendingTimer {
  dueMs: number
  callback: () => void
  scheduled: Scheduled | undefined
  isCancelled: boolean
}

/** Where true time 0 is on the wall clocks: each schedule says. */
export interface ProcessOptions {
  time: VirtualTime
  random: Random
  wallStartMs: number
}

/**
 * One process on a machine of its own: what a member's Runtime sees. SIGSTOP delays its timers and its replies, and its
 * monotonic clock goes on; a paused machine's monotonic clock stands still and its wall clock jumps; SIGKILL ends it all.
 */
export class VirtualProcess implements Runtime {
  readonly time: VirtualTime
  readonly #random: Random
  readonly #stoppedTimers: PendingTimer[] = []
  readonly #stoppedReplies: (() => void)[] = []
  #state: 'running' | 'stopped' | 'dead' = 'running'
  #monotonic: { atMs: number; readsMs: number; rate: number }
  #wallStartMs: number

  constructor({ time, random, wallStartMs }: ProcessOptions) {
    this.time = time
    this.#random = random
    this.#wallStartMs = wallStartMs + random.between(-50, 50)
    this.#monotonic = { atMs: time.nowMs, readsMs: random.between(0, 1e7), rate: 1 }
  }

  get isRunning(): boolean {
    return this.#state === 'running'
  }

  get isDead(): boolean {
    return this.#state === 'dead'
  }

  monotonicMs(): number {
    const { atMs, readsMs, rate } = this.#monotonic
    return readsMs + (this.time.nowMs - atMs) * rate
  }

  wallMs(): number {
    return this.#wallStartMs + this.time.nowMs
  }

  random(): number {
    return this.#random.next()
  }

  defer(callback: () => void): void {
    process.nextTick(callback)
  }

  setTimer(callback: () => void, ms: number): Timer {
    const timer: PendingTimer = {
      dueMs: this.monotonicMs() + Math.max(1, ms),
      callback,
      scheduled: undefined,
      isCancelled: false,
    }
    this.#schedule(timer)
    return {
      cancel() {
        timer.isCancelled = true
        timer.scheduled?.cancel()
      },
    }
  }

  /** Input arrives: now, or when the process runs again. */
  deliver(input: () => void): void {
    if (this.#state === 'running') input()
    else if (this.#state === 'stopped') this.#stoppedReplies.push(input)
  }

  stop(): void {
    if (this.#state === 'running') this.#state = 'stopped'
  }

  /** As in Node after SIGCONT: expired timers first, in their order, then what has arrived. */
  resume(): void {
    if (this.#state !== 'stopped') return
    this.#state = 'running'
    const timers = this.#stoppedTimers.splice(0).sort((one, other) => one.dueMs - other.dueMs)
    for (const timer of timers) if (!timer.isCancelled) this.#schedule(timer)
    for (const input of this.#stoppedReplies.splice(0)) this.time.after(0, () => this.deliver(input))
  }

  /** The machine is paused: like `stop`, and the monotonic clock stands still until `resumeMachine`. */
  pauseMachine(): void {
    this.#setRate(0)
    this.stop()
  }

  resumeMachine(): void {
    this.#setRate(1)
    this.resume()
  }

  kill(): void {
    this.#state = 'dead'
  }

  /** The monotonic clock runs this much faster from now on: 0.01 is 1 %. */
  drift(share: number): void {
    this.#setRate(1 + share)
  }

  stepWall(ms: number): void {
    this.#wallStartMs += ms
  }

  #setRate(rate: number): void {
    this.#monotonic = { atMs: this.time.nowMs, readsMs: this.monotonicMs(), rate }
  }

  #schedule(timer: PendingTimer): void {
    const inMs = (timer.dueMs - this.monotonicMs()) / (this.#monotonic.rate || 1)
    timer.scheduled = this.time.after(Math.max(0, inMs), () => this.#fire(timer))
  }

  #fire(timer: PendingTimer): void {
    if (timer.isCancelled) return
    if (this.#state === 'stopped') this.#stoppedTimers.push(timer)
    else if (this.#state === 'running') {
      if (this.monotonicMs() < timer.dueMs - 0.001) this.#schedule(timer)
      else timer.callback()
    }
  }
}
