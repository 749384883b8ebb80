/** Who asks: the headers that prove it, none for nobody. */
export interface Caller {
  name: string
  headers: Record<string, string>
}

/** Asked for in turn; a key is one more entry here. */
export const callers: readonly Caller[] = [{ name: 'nobody', headers: {} }]
