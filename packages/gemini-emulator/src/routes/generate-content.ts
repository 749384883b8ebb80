import { randomBytes } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { admitCall, type Context, type Target } from '../call.ts'
import { answerText, type Spoiling } from '../content/answers.ts'
import { draw } from '../content/drawing.ts'
import { invalidArgument } from '../google-errors.ts'
import { randomFrom } from '../random.ts'
import { countTextTokens, cutToTokens, DRAWN_PICTURE_TOKENS } from '../tokens.ts'
import type { FaultState } from '../types.ts'
import {
  type Ask,
  type Candidate,
  type GenerateContentResponse,
  type Part,
  readAsk,
  type UsageMetadata,
} from '../wire.ts'

const THOUGHT = '**Considering the request**\n\nI will look at what is asked and choose the form of the answer.'

/** Answers `:generateContent` and `:streamGenerateContent`: one admitted call, one answer. */
export async function generateContent(
  context: Context,
  { target, request, reply }: { target: Target; request: FastifyRequest; reply: FastifyReply },
): Promise<{ response: GenerateContentResponse; fault: FaultState | undefined }> {
  const ask = readAsk(request.body, target.model.name)
  if (ask.wantsPicture && target.model.kind !== 'image') {
    throw invalidArgument('Model does not support the requested response modalities: image')
  }
  const task = ask.wantsPicture ? 'image' : ask.pictures.length > 0 ? 'vision' : 'text'
  const promptTokens = ask.promptTokens.text + ask.promptTokens.pictures
  const fault = await admitCall(context, { target, subject: { ...ask, task, promptTokens, isMetered: true }, reply })
  const made = await makeAnswer(context, ask, fault)
  context.ledger.spent(made.usage)
  const response = {
    ...made.body,
    ...(fault?.kind !== 'no_usage' && { usageMetadata: made.usage }),
    modelVersion: target.model.version ?? target.model.name,
    responseId: randomBytes(17).toString('base64url'),
  }
  return { response, fault }
}

interface Made {
  body: Pick<GenerateContentResponse, 'candidates' | 'promptFeedback'>
  usage: UsageMetadata
}

async function makeAnswer(context: Context, ask: Ask, fault: FaultState | undefined): Promise<Made> {
  if (fault?.kind === 'safety_prompt') {
    const blockReason = fault.reason ?? 'PROHIBITED_CONTENT'
    return { body: { promptFeedback: { blockReason } }, usage: usageOf(ask, {}) }
  }
  if (fault?.kind === 'safety_candidate') {
    const finishReason = fault.reason ?? (ask.wantsPicture ? 'IMAGE_SAFETY' : 'SAFETY')
    const finishMessage = 'The response was blocked because it may violate our policies.'
    return { body: { candidates: [{ finishReason, finishMessage, index: 0 }] }, usage: usageOf(ask, {}) }
  }
  if (fault?.kind === 'empty_candidates') return { body: {}, usage: usageOf(ask, {}) }
  return ask.wantsPicture ? makePicture(context, ask, fault) : makeText(ask, fault)
}

async function makePicture(context: Context, ask: Ask, fault: FaultState | undefined): Promise<Made> {
  if (fault?.kind === 'wrong_json' || fault?.kind === 'refusal_text') {
    const text = 'I can only describe that picture in words.'
    return { body: finished([{ text }], 'NO_IMAGE'), usage: usageOf(ask, { text: countTextTokens(text) }) }
  }
  const { bytes, mimeType } = await draw(ask.prompt, ask.aspectRatio, context.options.pictureFormat)
  const intro = 'Here is the picture you asked for.'
  const parts: Part[] = [{ text: intro }, { inlineData: { mimeType, data: bytes.toString('base64') } }]
  if (fault?.kind === 'thought_parts') parts.unshift({ text: THOUGHT, thought: true })
  return { body: finished(parts), usage: usageOf(ask, { text: countTextTokens(intro), picture: DRAWN_PICTURE_TOKENS }) }
}

async function makeText(ask: Ask, fault: FaultState | undefined): Promise<Made> {
  const text = await answerText(ask, spoilingOf(fault))
  const liked = 32 + Math.floor(randomFrom(`thoughts ${ask.prompt}`).next() * 32)
  const thoughts = Math.min(liked, ask.thinkingBudget ?? liked)
  const budget =
    fault?.kind === 'max_tokens' ? Math.floor(countTextTokens(text) / 2) : (ask.maxOutputTokens ?? Infinity) - thoughts
  const isCut = countTextTokens(text) > budget
  const shown = isCut ? cutToTokens(text, Math.max(0, budget)) : text
  const parts: Part[] = shown === '' ? [] : [{ text: shown }]
  if (ask.wantsThoughts || fault?.kind === 'thought_parts') parts.unshift({ text: THOUGHT, thought: true })
  return {
    body: finished(parts, isCut ? 'MAX_TOKENS' : 'STOP'),
    usage: usageOf(ask, {
      text: countTextTokens(shown),
      thoughts: Math.min(thoughts, ask.maxOutputTokens ?? thoughts),
    }),
  }
}

function spoilingOf(fault: FaultState | undefined): Spoiling | undefined {
  switch (fault?.kind) {
    case 'refusal_text':
    case 'poor_quality':
    case 'wrong_json':
    case 'wrong_shape':
      return fault.kind
    default:
      return undefined
  }
}

function finished(parts: Part[], finishReason = 'STOP'): Made['body'] {
  const content: Candidate['content'] = parts.length > 0 ? { parts, role: 'model' } : { role: 'model' }
  return { candidates: [{ content, finishReason, index: 0 }] }
}

/** Zero fields are left out, as Google does. total = prompt + candidates + thoughts. */
function usageOf(
  ask: Pick<Ask, 'promptTokens'>,
  made: { text?: number; picture?: number; thoughts?: number },
): UsageMetadata {
  const { text = 0, picture = 0, thoughts = 0 } = made
  const prompt = ask.promptTokens.text + ask.promptTokens.pictures
  const candidates = text + picture
  return {
    promptTokenCount: prompt,
    ...(candidates > 0 && { candidatesTokenCount: candidates }),
    totalTokenCount: prompt + candidates + thoughts,
    promptTokensDetails: modalities(ask.promptTokens.text, ask.promptTokens.pictures),
    ...(picture > 0 && { candidatesTokensDetails: modalities(0, picture) }),
    ...(thoughts > 0 && { thoughtsTokenCount: thoughts }),
  }
}

function modalities(text: number, pictures: number): { modality: 'TEXT' | 'IMAGE'; tokenCount: number }[] {
  return [
    ...(text > 0 ? [{ modality: 'TEXT' as const, tokenCount: text }] : []),
    ...(pictures > 0 ? [{ modality: 'IMAGE' as const, tokenCount: pictures }] : []),
  ]
}
