import { signal } from '@preact/signals'
import { en } from './texts/en.ts'

export type Texts = typeof en

/** Languages of the page and of what is explained, by their own names. */
export const languages: Record<string, string> = {
  en: 'English',
  es: 'Español',
  fr: 'Français',
  de: 'Deutsch',
  zh: '中文',
  ja: '日本語',
  ar: 'العربية',
  he: 'עברית',
}
const rightToLeft = new Set(['ar', 'he'])

/** As the prompts name them. */
export const levels: Record<string, string> = {
  elementary: 'elementary school',
  middleSchool: 'middle school',
  highSchool: 'high school',
  university: 'university',
}
export const details = ['brief', 'normal', 'detailed']

export const t = signal<Texts>(en)

/** The first of the browser's languages that is spoken here. */
export function preferredLanguage(): string {
  const tags = navigator.languages.map((tag) => tag.split('-', 1)[0] as string)
  return tags.find((tag) => tag in languages) ?? 'en'
}

export async function speak(language: string): Promise<void> {
  if (language === 'en') t.value = en
  else t.value = ((await import(`./texts/${language}.ts`)) as { default: Texts }).default
  document.documentElement.lang = language
  document.documentElement.dir = rightToLeft.has(language) ? 'rtl' : 'ltr'
}

/** `{name}` becomes its value. */
export function fill(text: string, values: Record<string, string | number>): string {
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name]))
}
