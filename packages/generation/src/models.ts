import { setting } from '@knowalledge/service-kit'

const chain = (description: string, model: string) =>
  setting.text(`${description}: one, or several separated by commas, best first`, { default: model })

export const modelSettings = {
  GEMINI_TEXT_MODEL: chain('Models for subtopics and explanations', 'gemini-3.8-flash'),
  GEMINI_VISION_MODEL: chain('Models for images sent in', 'gemini-3.8-flash'),
  GEMINI_IMAGE_MODEL: chain('Models that generate images', 'gemini-3.1-flash-image'),
}

export type ModelConfig = Readonly<Record<keyof typeof modelSettings, string>>

/** Models, best first: the next one is called when the one before has no quota or does not answer. */
export type Chain = readonly [string, ...string[]]
export type Chains = Readonly<Record<'text' | 'vision' | 'image', Chain>>

const settingOf = { text: 'GEMINI_TEXT_MODEL', vision: 'GEMINI_VISION_MODEL', image: 'GEMINI_IMAGE_MODEL' } as const

/** The chains of a configuration without `modelFaults`. */
export function chainsOf(config: ModelConfig): Chains {
  const chainOf = (name: keyof ModelConfig) => namesIn(config[name]) as [string, ...string[]]
  return { text: chainOf(settingOf.text), vision: chainOf(settingOf.vision), image: chainOf(settingOf.image) }
}

/** What is wrong with the lists of models, one sentence each. */
export function modelFaults(config: Partial<ModelConfig>): string[] {
  return Object.values(settingOf).flatMap((name) => {
    const text = config[name]
    if (text === undefined) return []
    const names = namesIn(text)
    if (names.includes('')) return [`${name}=${JSON.stringify(text)}: expected models separated by commas, none empty`]
    return repeated(names).map((model) => `${name} names ${model} twice: list each model once`)
  })
}

/** The names in a list separated by commas. */
export function namesIn(text: string): string[] {
  return text.split(',').map((name) => name.trim())
}

export function repeated(names: readonly string[]): string[] {
  return [...new Set(names.filter((name, at) => names.indexOf(name) !== at))]
}
