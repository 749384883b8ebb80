import { ar } from './ar.ts'
import { de } from './de.ts'
import { en } from './en.ts'
import { es } from './es.ts'
import { fr } from './fr.ts'
import { he } from './he.ts'
import { ja } from './ja.ts'
import type { LanguagePack } from './pack.ts'
import { zh } from './zh.ts'

const PACKS: Record<string, LanguagePack> = { en, es, fr, de, zh, ja, ar, he }

/** The language's sentences; English for a language without its own. */
export function languagePack(code: string): LanguagePack {
  return PACKS[code] ?? en
}
