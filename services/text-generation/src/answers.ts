import { checkExplanation, checkSubtopics, type QualityReport } from '@knowalledge/content-quality'
import { type Accepted, UnusableAnswer } from '@knowalledge/generation'
import type { Metrics } from '@knowalledge/metrics'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import { type ExplanationQuestion, type SubtopicsQuestion, subtopicCount } from './prompts.ts'

export interface Subtopics {
  subtopics: string[]
  qualityScore: number
  warnings: string[]
  /** Whether the check was passed: an answer that was not is shown once and kept nowhere. */
  passed: boolean
}

const RawSubtopics = Type.Object({ subtopics: Type.Array(Type.String()) })

/** What Gemini named, cleaned and scored; throws UnusableAnswer when not one subtopic can be shown. */
export function acceptSubtopics(raw: unknown, { topic }: SubtopicsQuestion, metrics: Metrics): Accepted<Subtopics> {
  if (!Value.Check(RawSubtopics, raw)) throw new UnusableAnswer('the answer is not a list of subtopics')
  const report = checkSubtopics(raw.subtopics, { topic, expectedCount: subtopicCount })
  record('subtopics', report, metrics)
  const subtopics = report.accepted.slice(0, subtopicCount)
  if (subtopics.length === 0) throw new UnusableAnswer('none of the subtopics can be shown')
  metrics.subtopicsGenerated(subtopics.length)
  return {
    value: { subtopics, qualityScore: report.score, warnings: warningsOf(report), passed: report.passed },
    passed: report.passed,
  }
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

/** One explanation, checked and scored; throws UnusableAnswer when it is not one. */
export function acceptExplanation(
  raw: unknown,
  question: ExplanationQuestion,
  metrics: Metrics,
): Accepted<Explanation> {
  if (!Value.Check(RawExplanation, raw)) throw new UnusableAnswer('the answer is not an explanation')
  const explanation = raw.explanation.trim()
  const { topic, subtopic, language } = question
  const report = checkExplanation(explanation, { topic, subtopic, language: language.tag })
  record('explanation', report, metrics)
  if (report.passed) metrics.explanationsGenerated(1)
  const value = {
    explanation,
    realWorldApplication: raw.real_world_application.trim(),
    youtubeSearchQuery: raw.youtube_search_query.trim(),
    qualityScore: report.score,
    passed: report.passed,
  }
  return { value, passed: report.passed }
}

function record(contentType: 'subtopics' | 'explanation', { score, issues }: QualityReport, metrics: Metrics): void {
  metrics.contentQuality(contentType, score)
  for (const issue of issues) metrics.validationFailure(contentType, issue.type)
}

/** A person is told what is wrong with an answer that is shown all the same. */
function warningsOf({ issues, warnings }: QualityReport): string[] {
  return [...issues.map((issue) => issue.message), ...warnings]
}
