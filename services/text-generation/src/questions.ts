import type { Gemini } from '@knowalledge/gemini'
import type { Generation, GenerationSpec } from '@knowalledge/generation'
import type { Metrics } from '@knowalledge/metrics'
import { acceptExplanation, acceptSubtopics, type Explanation, type Subtopics } from './answers.ts'
import { type ExplanationQuestion, explanationPrompt, type SubtopicsQuestion, subtopicsPrompt } from './prompts.ts'

/** What the routes of this service work with. */
export interface TextTools {
  generation: Generation
  gemini: Gemini
  metrics: Metrics
}

/** Tokens reserved for one text call; what was really used is settled afterwards. */
const estimatedTokens = 1_500

/** The subtopics of a topic, as every route asks for them: the same question has the same answer, by GET or POST. */
export function subtopicsSpec(question: SubtopicsQuestion, { gemini, metrics }: TextTools): GenerationSpec<Subtopics> {
  const { version, ...prompt } = subtopicsPrompt(question)
  return {
    operation: 'create_subtopics',
    promptVersion: version,
    model: gemini.models.text,
    language: question.language.tag,
    input: { topic: question.topic },
    topic: question.topic,
    priority: 'interactive',
    estimatedTokens,
    call: (signal) => gemini.generateJson({ ...prompt, signal }),
    accept: (raw) => acceptSubtopics(raw, question, metrics),
  }
}

/** One explanation. It is batch work: the last fifth of the quota is for what cannot be asked for in bulk. */
export function explanationSpec(
  question: ExplanationQuestion,
  { gemini, metrics }: TextTools,
): GenerationSpec<Explanation> {
  const { version, ...prompt } = explanationPrompt(question)
  const { language, ...input } = question
  return {
    operation: 'create_presentation',
    promptVersion: version,
    model: gemini.models.text,
    language: language.tag,
    input: { ...input },
    topic: question.topic,
    priority: 'batch',
    estimatedTokens,
    call: (signal) => gemini.generateJson({ ...prompt, signal }),
    accept: (raw) => acceptExplanation(raw, question, metrics),
    askAgain: true,
  }
}
