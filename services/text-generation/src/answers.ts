import { checkExplanation, checkSubtopics } from '@knowalledge/content-quality'
import { type Accepted, type Quality, UnusableAnswer } from '@knowalledge/generation'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import { type ExplanationQuestion, type SubtopicsQuestion, subtopicCount } from './prompts.ts'

export interface Subtopics {
  subtopics: string[]
  qualityScore: number
  warnings: string[]
  /** False: the answer failed its check; it is shown once and stored nowhere. */
  passed: boolean
}

const RawSubtopics = Type.Object({ subtopics: Type.Array(Type.String()) })

/** The subtopics in an answer of Gemini, cleaned and scored. Throws UnusableAnswer when not one can be shown. */
export function acceptSubtopics(raw: unknown, { topic }: SubtopicsQuestion): Accepted<Subtopics> {
  if (!Value.Check(RawSubtopics, raw)) throw new UnusableAnswer('the answer is not a list of subtopics')
  const { accepted, passed, score, issues, warnings } = checkSubtopics(raw.subtopics, {
    topic,
    expectedCount: subtopicCount,
  })
  const subtopics = accepted.slice(0, subtopicCount)
  const quality: Quality = { content: 'subtopics', score, issues, generated: subtopics.length }
  if (subtopics.length === 0) throw new UnusableAnswer('none of the subtopics can be shown', quality)
  // A client is told what is wrong with an answer that is shown all the same.
  const allWarnings = [...issues.map((issue) => issue.message), ...warnings]
  return { value: { subtopics, qualityScore: score, warnings: allWarnings, passed }, passed, quality }
}

export interface Explanation {
  explanation: string
  realWorldApplication: string
  youtubeSearchQuery: string
  qualityScore: number
  passed: boolean
}

const RawExplanation = Type.Object({
  explanation: Type.String(),
  real_world_application: Type.String(),
  youtube_search_query: Type.String(),
})

/** The explanation in an answer of Gemini, checked and scored. Throws UnusableAnswer when it is not one. */
export function acceptExplanation(
  raw: unknown,
  { topic, subtopic, language }: ExplanationQuestion,
): Accepted<Explanation> {
  if (!Value.Check(RawExplanation, raw)) throw new UnusableAnswer('the answer is not an explanation')
  const explanation = raw.explanation.trim()
  const { passed, score, issues } = checkExplanation(explanation, { topic, subtopic, language: language.tag })
  const value = {
    explanation,
    realWorldApplication: raw.real_world_application.trim(),
    youtubeSearchQuery: raw.youtube_search_query.trim(),
    qualityScore: score,
    passed,
  }
  return { value, passed, quality: { content: 'explanation', score, issues, generated: passed ? 1 : 0 } }
}
