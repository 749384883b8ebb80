// By hand, for English alone: a first Intl.NumberFormat takes a fifth of a second on a phone.
const units: [size: number, name: string][] = [
  [1e9, 'B'],
  [1e6, 'M'],
  [1e3, 'K'],
]

function whole(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ',')
}

function tenths(value: number): string {
  return String(Math.round(10 * value) / 10)
}

/** `850`, `1,500`, `12.5K`, `50M`. */
export function short(value: number): string {
  const unit = value < 10_000 ? undefined : units.find(([size]) => value >= size)
  return unit === undefined ? whole(value) : tenths(value / unit[0]) + unit[1]
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
  if (value < 0.1) return `${whole(1_000 * value)} ms`
  return Number.isFinite(value) ? `${value < 10 ? tenths(value) : whole(value)} s` : 'over 30 s'
}

export function megabytes(bytes: number): string {
  return `${whole(bytes / 1024 / 1024)} MB`
}
