/** One promise, and what became of it. */
export interface Row {
  promise: string
  asked: string
  measured: string
  /** undefined: told, not judged. */
  kept: boolean | undefined
}

/** A table that a person can read in a terminal. */
export function table(rows: readonly Row[]): string {
  const cells = rows.map(({ promise, asked, measured, kept }) => [promise, asked, measured, verdict(kept)])
  const all = [['promise', 'asked', 'measured', ''], ...cells]
  const widths = [0, 1, 2].map((column) => Math.max(...all.map((row) => (row[column] as string).length)))
  const lines = all.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
  return [lines[0], '-'.repeat(Math.max(...lines.map((line) => line.length))), ...lines.slice(1)].join('\n')
}

function verdict(kept: boolean | undefined): string {
  return kept === undefined ? '' : kept ? 'kept' : 'MISSED'
}

/** `3 of 120`, `1,204` and so on read better than bare figures. */
export function figure(value: number): string {
  return Math.round(value).toLocaleString('en')
}

/** The first few of many, for what follows the table. */
export function examples(title: string, found: readonly string[]): string {
  if (found.length === 0) return ''
  const shown = found.slice(0, 8).map((one) => `  ${one}`)
  const more = found.length > shown.length ? [`  … and ${found.length - shown.length} more`] : []
  return [`${title}:`, ...shown, ...more].join('\n')
}
