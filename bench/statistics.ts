/** The value that a share of the values does not exceed. */
export function at(values: number[], quantile: number): number {
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.floor(quantile * (sorted.length - 1))] ?? Number.NaN
}

export function median(values: number[]): number {
  return at(values, 0.5)
}

/** Half the distance between the quartiles. */
export function spread(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const quartile = (share: number) => sorted[Math.round(share * (sorted.length - 1))] ?? Number.NaN
  return (quartile(0.75) - quartile(0.25)) / 2
}
