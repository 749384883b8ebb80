const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 })
const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const tenths = new Intl.NumberFormat('en', { maximumFractionDigits: 1 })

/** `850`, `12.5K`, `50M`. */
export function short(value: number): string {
  return value < 10_000 ? whole.format(value) : compact.format(value)
}

/** `8 s`, `12 min`, `5 h`, `3 d`. */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1_000))
  if (seconds < 100) return `${seconds} s`
  if (seconds < 100 * 60) return `${Math.round(seconds / 60)} min`
  if (seconds < 48 * 3_600) return `${Math.round(seconds / 3_600)} h`
  return `${Math.round(seconds / 86_400)} d`
}

export function seconds(value: number | null): string {
  if (value === null) return '–'
  if (value < 0.1) return `${whole.format(1_000 * value)} ms`
  return Number.isFinite(value) ? `${value < 10 ? tenths.format(value) : whole.format(value)} s` : 'over 30 s'
}

export function megabytes(bytes: number): string {
  return `${whole.format(bytes / 1024 / 1024)} MB`
}
