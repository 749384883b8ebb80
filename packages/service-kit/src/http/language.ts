import Negotiator from 'negotiator'

/** A language to answer in: `tag` for cache keys (`es`, `zh-Hant`), `name` in English for prompts (`Spanish`). */
export interface Language {
  tag: string
  name: string
}

const english: Language = { tag: 'en', name: 'English' }
const names = new Intl.DisplayNames('en', { type: 'language', fallback: 'none' })

/** Tags looked up so far: Intl takes longer for one than a cached answer takes to be found. */
const lookedUp = new Map<string, Language | undefined>()
const maxLookedUp = 1_000
/** Of an Accept-Language: a header can name thousands, which take a tenth of a second to sort and look up. */
const maxAccepted = 20

/** The asked language if it is one, else the first of Accept-Language that is, else English. Regions do not matter. */
export function chooseLanguage(
  asked: string | undefined,
  headers: { 'accept-language'?: string | undefined },
): Language {
  const first = headers['accept-language']?.split(',', maxAccepted).join()
  const accepted = first ? new Negotiator({ headers: { 'accept-language': first } }).languages() : []
  for (const candidate of [asked, ...accepted]) {
    const language = askedLanguage(candidate)
    if (language) return language
  }
  return english
}

/** The language that a tag names, if it is one: `es-MX`, `es` and `ES` are Spanish, `klingon!` is nothing. */
export function askedLanguage(candidate: string | undefined): Language | undefined {
  if (candidate === undefined) return undefined
  const known = lookedUp.get(candidate)
  if (known !== undefined || lookedUp.has(candidate)) return known
  const language = lookUp(candidate)
  if (lookedUp.size >= maxLookedUp) lookedUp.clear() // clients may send anything
  lookedUp.set(candidate, language)
  return language
}

function lookUp(candidate: string): Language | undefined {
  let locale: Intl.Locale
  try {
    locale = new Intl.Locale(candidate.trim().replaceAll('_', '-'))
  } catch {
    return undefined // not a language tag at all: the next one counts
  }
  // Chinese is written in two scripts; for every other language the language alone decides.
  const tag = locale.language === 'zh' && locale.maximize().script === 'Hant' ? 'zh-Hant' : locale.language
  const name = names.of(tag)
  return name === undefined ? undefined : { tag, name }
}
