import type { GenerationSpec, GenerationTools } from '@knowalledge/generation'
import { acceptExplanation, acceptSubtopics, type Explanation, type Subtopics } from './answers.ts'
import {
  type ExplanationQuestion,
  explanationPrompt,
  explanationVersion,
  type SubtopicsQuestion,
  subtopicsPrompt,
  subtopicsVersion,
} from './prompts.ts'

/** Tokens reserved for one text call; what was really used is settled afterwards. */
const estimatedTokens = 1_500

/** The subtopics of a topic, as every route asks for them: the same question has the same answer, by GET or POST. */
export function subtopicsSpec(
  question: SubtopicsQuestion,
  { gemini, models, thinkingBudgets }: GenerationTools,
): GenerationSpec<Subtopics> {
  const thinkingBudget = thinkingBudgets.create_subtopics
  return {
    operation: 'create_subtopics',
    promptVersion: subtopicsVersion,
    models,
    language: question.language.tag,
    input: { topic: question.topic },
    topic: question.topic,
    priority: 'interactive',
    estimatedTokens,
    call: (ask) => gemini.generateJson({ ...subtopicsPrompt(question), thinkingBudget, ...ask }),
    accept: (raw) => acceptSubtopics(raw, question),
  }
}

/** One explanation. It is batch work: the last fifth of the quota is for what cannot be asked for in bulk. */
export function explanationSpec(
  asked: ExplanationQuestion,
  { gemini, models, thinkingBudgets }: GenerationTools,
): GenerationSpec<Explanation> {
  // Named one by one: a question may bring along what else a client sent, which must not make it another question.
  const { topic, subtopic, educationLevel, levelOfDetail, language } = asked
  // The web app's `General` is no style: the same question as without one.
  const learningStyle = /^(general)?$/i.test(asked.learningStyle ?? '') ? undefined : asked.learningStyle
  const thinkingBudget = thinkingBudgets.create_presentation
  const question = { topic, subtopic, educationLevel, levelOfDetail, learningStyle, language }
  return {
    operation: 'create_presentation',
    promptVersion: explanationVersion,
    models,
    language: language.tag,
    input: { topic, subtopic, educationLevel, levelOfDetail, learningStyle },
    topic,
    priority: 'batch',
    estimatedTokens,
    call: (ask) => gemini.generateJson({ ...explanationPrompt(question), thinkingBudget, ...ask }),
    accept: (raw) => acceptExplanation(raw, question),
    askAgain: true,
  }
}
