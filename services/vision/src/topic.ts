import { checkTopic } from '@knowalledge/content-quality'
import { type Accepted, UnusableAnswer } from '@knowalledge/generation'
import type { Metrics } from '@knowalledge/metrics'
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
export function acceptTopic(raw: unknown, language: Language, metrics: Metrics): Accepted<Topic> {
  if (!Value.Check(RawTopic, raw)) throw new UnusableAnswer('the answer is not a topic')
  const { accepted, issues, passed, score, warnings } = checkTopic(raw.topic, { language: language.tag })
  metrics.contentQuality('topic', score)
  for (const issue of issues) metrics.validationFailure('topic', issue.type)
  if (!passed) throw new UnusableAnswer(issues.map((issue) => issue.message).join('; '))
  return { value: { topic: accepted, qualityScore: score, warnings }, passed }
}
