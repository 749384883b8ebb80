import { hash, randomBytes, timingSafeEqual } from 'node:crypto'

/** 256 random bits in base64url. */
export function newSecret(): string {
  return randomBytes(32).toString('base64url')
}

/**
 * SHA-256 in hex: all that is ever kept of a secret. A slow hash would add nothing, as nobody guesses 256 random bits
 * (docs/adr/0082).
 */
export function digestOf(secret: string): string {
  return hash('sha256', secret)
}

/** What names a secret in public, such as in a log: 16 hex digits. Anybody who has the secret can work it out. */
export function publicIdOf(digest: string): string {
  return digest.slice(0, 16)
}

const nobodysDigest = digestOf('')

/** Takes the same time for any two digests, and when there is none to compare with. */
export function isSameDigest(digest: string, kept = nobodysDigest): boolean {
  return timingSafeEqual(Buffer.from(digest), Buffer.from(kept))
}
