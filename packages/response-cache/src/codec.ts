import { crc32 } from 'node:zlib'

/** What a layer keeps for a key. */
export interface Entry {
  /** Names this very production, 36 characters. */
  id: string
  storedAtMs: number
  /** The record of invalidations, and each tag's generation in it, when the production began; see tag-generations.ts. */
  incarnation: string
  generations: Record<string, string>
  value: unknown
}

/** The first characters of every value in Redis: claim.lua compares them to see whether a value changed. */
const HEADER_LENGTH = 50
const HEADER = /^ka2 [\da-f-]{36} [\da-f]{8}\n$/

/** An entry as text for Redis: a header with id and checksum, then JSON. `json` is the value, already encoded. */
export function encodeEntry({ id, ...origin }: Omit<Entry, 'value'>, json: string): string {
  const { storedAtMs, incarnation, generations } = origin
  const body = `${JSON.stringify({ storedAtMs, incarnation, generations }).slice(0, -1)},"value":${json}}`
  return `ka2 ${id} ${crc32(body).toString(16).padStart(8, '0')}\n${body}`
}

/** The header of a raw value; empty for what is absent or was not written by `encodeEntry`. */
export function headerOf(raw: string | null): string {
  const header = raw?.slice(0, HEADER_LENGTH) ?? ''
  return HEADER.test(header) ? header : ''
}

/** The entry, or undefined when the text is not one, or not whole. */
export function decodeEntry(raw: string): Entry | undefined {
  const header = headerOf(raw)
  const body = raw.slice(HEADER_LENGTH)
  // The checksum vouches for the body: what passes was written by encodeEntry and parses.
  if (header === '' || crc32(body) !== Number.parseInt(header.slice(-9), 16)) return undefined
  return { id: header.slice(4, 40), ...(frozenJson(body) as Omit<Entry, 'id'>) }
}

/** A value as JSON. Throws a TypeError for what JSON cannot carry. */
export function encodeValue(value: unknown): string {
  const json: string | undefined = JSON.stringify(value)
  if (json === undefined) throw new TypeError(`A cached value must be JSON, not ${typeof value}`)
  return json
}

/** Parsed and frozen throughout: one object answers many callers, none of whom may change it for the others. */
export function frozenJson(json: string): unknown {
  return freeze(JSON.parse(json)) // a third of the time that a reviver takes, which is called for strings and numbers too
}

function freeze(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  for (const part of Object.values(value)) freeze(part)
  return Object.freeze(value)
}
