const hourMs = 3_600_000

/** The ends of yesterday, today and tomorrow, in milliseconds since the epoch. */
export type DayEnds = readonly [number, number, number]

/** The days of one IANA time zone: 23, 24 or 25 hours long, as the zone's clocks say. Throws a RangeError for an unknown zone. */
export class CalendarDay {
  readonly #format: Intl.DateTimeFormat
  #startMs = Number.POSITIVE_INFINITY
  #endMs = Number.NEGATIVE_INFINITY
  #around: DayEnds = [0, 0, 0]

  constructor(timeZone: string) {
    this.#format = new Intl.DateTimeFormat('en-CA', { timeZone, year: 'numeric', month: '2-digit', day: '2-digit' })
  }

  /** When the day that holds `atMs` ends: the first instant whose local date is another one. Milliseconds since the epoch. */
  endOf(atMs: number): number {
    if (atMs >= this.#endMs || atMs < this.#startMs) {
      this.#endMs = this.#firstInstantOfTheNextDate(atMs)
      this.#startMs = atMs
    }
    return this.#endMs
  }

  /**
   * The day's end around `atMs`, and the ends of the day before and of the day after: the first one that lies after
   * another clock's time is that clock's day's end, as long as the two clocks differ by less than a day.
   */
  endsAround(atMs: number): DayEnds {
    const today = this.endOf(atMs)
    if (this.#around[1] !== today) {
      const before = this.#firstInstantOfTheNextDate(today - 26 * hourMs) // a day has at most 25 hours, and at least 23
      this.#around = [before, today, this.#firstInstantOfTheNextDate(today)]
    }
    return this.#around
  }

  #firstInstantOfTheNextDate(atMs: number): number {
    const date = this.#format.format(atMs)
    let [same, other] = [Math.floor(atMs), Math.floor(atMs) + 26 * hourMs]
    while (other - same > 1) {
      const middle = Math.floor((same + other) / 2)
      if (this.#format.format(middle) === date) same = middle
      else other = middle
    }
    return other
  }
}
