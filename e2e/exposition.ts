/** What one `GET /metrics` showed, or the sum or difference of several. */
export class Exposition {
  readonly text: string
  readonly #samples: ReadonlyMap<string, number>

  constructor(samples: ReadonlyMap<string, number>, text = '') {
    this.#samples = samples
    this.text = text
  }

  /** Every series with its labels, as written. */
  get series(): string[] {
    return [...this.#samples.keys()]
  }

  /** The sum of all series of that name that have these labels; 0 when there is none. */
  sum(name: string, labels: Record<string, string> = {}): number {
    const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`)
    let sum = 0
    for (const [series, value] of this.#samples) {
      const [itsName, itsLabels = ''] = series.split(/[{}]/)
      const has = itsLabels.split(/,(?=[a-z_]+=")/)
      if (itsName === name && wanted.every((label) => has.includes(label))) sum += value
    }
    return sum
  }

  /** The increase since `before`, series by series. */
  since(before: Exposition): Exposition {
    return new Exposition(
      new Map([...this.#samples].map(([series, value]) => [series, value - before.at(series)])),
      this.text,
    )
  }

  at(series: string): number {
    return this.#samples.get(series) ?? 0
  }
}

/** Reads `/metrics` of a process. */
export async function scrape({ url }: { url: string }): Promise<Exposition> {
  const reply = await fetch(`${url}/metrics`)
  if (reply.status !== 200) throw new Error(`${url}/metrics answered ${reply.status}`)
  const text = await reply.text()
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Exposition(
    new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))])),
    text,
  )
}

/** The expositions of several processes as one. */
export function together(expositions: Exposition[]): Exposition {
  const sums = new Map<string, number>()
  for (const exposition of expositions) {
    for (const series of exposition.series) sums.set(series, (sums.get(series) ?? 0) + exposition.at(series))
  }
  return new Exposition(sums)
}
