import { checkTopic } from '@knowalledge/content-quality'
import { type Accepted, UnusableAnswer } from '@knowalledge/generation'
import type { Language } from '@knowalledge/service-kit'
import { Type } from 'typebox'
import { Value } from 'typebox/value'

export interface Topic {
  topic: string
  qualityScore: number
  warnings: string[]
}

const RawTopic = Type.Object({ topic: Type.String() })

/** What Gemini saw, cleaned and scored; throws UnusableAnswer when it is no topic at all, such as a refusal. */
export function acceptTopic(raw: unknown, language: Language): Accepted<Topic> {
  if (!Value.Check(RawTopic, raw)) throw new UnusableAnswer('the answer is not a topic')
  const { accepted, issues, passed, score, warnings } = checkTopic(raw.topic, { language: language.tag })
  const quality = { content: 'topic', score, issues } as const
  if (!passed) throw new UnusableAnswer(issues.map((issue) => issue.message).join('; '), quality)
  return { value: { topic: accepted, qualityScore: score, warnings }, passed, quality }
}
