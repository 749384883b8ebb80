import Negotiator from 'negotiator'

/** A language to answer in: `tag` for cache keys (`es`, `zh-Hant`), `name` in English for prompts (`Spanish`). */
export interface Language {
  tag: string
  name: string
}

const english: Language = { tag: 'en', name: 'English' }
const names = new Intl.DisplayNames('en', { type: 'language', fallback: 'none' })

/** The asked language if it is one, else the first of Accept-Language that is, else English. Regions do not matter. */
export function chooseLanguage(asked: string | undefined, acceptLanguage: string | undefined): Language {
  const accepted = acceptLanguage ? new Negotiator({ headers: { 'accept-language': acceptLanguage } }).languages() : []
  for (const candidate of [asked ?? '', ...accepted]) {
    const language = recognise(candidate)
    if (language) return language
  }
  return english
}

function recognise(candidate: string): Language | undefined {
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
