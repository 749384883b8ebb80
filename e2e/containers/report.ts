interface Row {
  area: string
  what: string
  seconds: number
  /** What was seen, or why it failed. */
  detail: string
  hasPassed: boolean
}

/** Runs one check after the other, and keeps what came of each. A failed check stops none of those after it. */
export class Report {
  readonly #rows: Row[] = []

  async check(area: string, what: string, run: () => Promise<unknown>): Promise<void> {
    const startedMs = Date.now()
    let [hasPassed, detail] = [true, '']
    try {
      detail = String((await run()) ?? '')
    } catch (error) {
      hasPassed = false
      detail = error instanceof Error ? error.message : String(error)
    }
    const seconds = Math.round((Date.now() - startedMs) / 1000)
    this.#rows.push({ area, what, seconds, detail, hasPassed })
    console.log(`${hasPassed ? 'ok  ' : 'FAIL'} ${String(seconds).padStart(4)} s  ${area}: ${what}  ${detail}`)
  }

  get hasPassed(): boolean {
    return this.#rows.every((row) => row.hasPassed)
  }

  /** Markdown: one line for each check. */
  get table(): string {
    const lines = this.#rows.map(({ area, what, seconds, detail, hasPassed }) => {
      const [first = ''] = detail.split('\n')
      return `| ${area} | ${what} | ${hasPassed ? 'pass' : 'FAIL'} | ${seconds} | ${first.slice(0, 120).replaceAll('|', '\\|')} |`
    })
    const failed = this.#rows.filter((row) => !row.hasPassed).length
    return [
      '| area | what was tried | result | seconds | seen |',
      '| --- | --- | --- | --- | --- |',
      ...lines,
      '',
      `${this.#rows.length - failed} passed, ${failed} failed`,
    ].join('\n')
  }
}
