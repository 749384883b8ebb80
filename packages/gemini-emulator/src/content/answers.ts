import { unreadablePicture } from '../google-errors.ts'
import { type Ask, isRecord, type WireSchema } from '../wire.ts'
import { writeGeneric, writePlainText } from './generic.ts'
import { languagePack } from './languages/index.ts'
import { tellPictureTopic } from './picture-topic.ts'
import { readWish, type Wish } from './prompt.ts'
import { writeExplanation, writeSubtopics } from './texts.ts'

/** How a fault spoils an otherwise good answer. */
export type Spoiling = 'refusal_text' | 'poor_quality' | 'wrong_json' | 'wrong_shape'

/** The text of an answer: JSON that fits the schema, or prose. @throws GoogleError 400 for a picture that cannot be read */
export async function answerText(ask: Ask, spoiling?: Spoiling): Promise<string> {
  const wish = readWish(ask.system, ask.prompt)
  if (spoiling === 'wrong_json') return `Sure! Here is what I found about ${wish.topic}:\n\n1. ${wish.subtopic}\n2. …`
  if (spoiling === 'wrong_shape') return JSON.stringify({ answer: wish.topic })
  if (!ask.wantsJson) return plainAnswer(ask, wish)
  const value = await answerValue(ask, wish)
  if (spoiling === 'refusal_text') return JSON.stringify(refuse(value, languagePack(wish.language).refusal))
  return JSON.stringify(spoiling === 'poor_quality' ? worsen(value) : value)
}

async function plainAnswer(ask: Ask, wish: Wish): Promise<string> {
  const [picture] = ask.pictures
  return picture ? pictureTopic(picture.bytes, wish.language) : writePlainText(wish)
}

async function answerValue(ask: Ask, wish: Wish): Promise<unknown> {
  const [picture] = ask.pictures
  const topic = picture && (await pictureTopic(picture.bytes, wish.language))
  const seen = topic === undefined ? wish : { ...wish, topic }
  if (!ask.schema) return { answer: writePlainText(seen) }
  const properties = ask.schema.properties ?? {}
  const generic = writeGeneric(ask.schema, seen)
  if (!isRecord(generic)) return generic
  for (const name of Object.keys(properties)) {
    const written = writeNamed(name, properties[name] as WireSchema, seen)
    if (written !== undefined) generic[name] = written
  }
  return generic
}

/** The fields this emulator knows by name; they must still fit the schema's type. */
function writeNamed(name: string, schema: WireSchema, wish: Wish): unknown {
  if (schema.enum) return undefined
  if (schema.type === 'ARRAY' && name === 'subtopics' && schema.items?.type === 'STRING') {
    const { minItems = 0, maxItems = Infinity } = schema
    return writeSubtopics(wish, Math.min(Math.max(wish.items, minItems), maxItems))
  }
  if (schema.type !== 'STRING') return undefined
  if (name === 'topic' || name === 'generated_topic') return wish.topic
  const explanation = writeExplanation(wish)
  return isKeyOf(explanation, name) ? explanation[name] : undefined
}

async function pictureTopic(bytes: Buffer, language: string): Promise<string> {
  try {
    return await tellPictureTopic(bytes, language)
  } catch (error) {
    throw Object.assign(unreadablePicture(), { cause: error })
  }
}

function refuse(value: unknown, refusal: string): unknown {
  if (typeof value === 'string') return refusal
  if (Array.isArray(value)) return value.map((item) => refuse(item, refusal))
  if (!isRecord(value)) return value
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, refuse(item, refusal)]))
}

/** Lists repeat their first entry, texts shrink to a few words. */
function worsen(value: unknown): unknown {
  if (typeof value === 'string') return value.split(/\s+/u).slice(0, 3).join(' ')
  if (Array.isArray(value)) return value.map(() => value[0])
  if (!isRecord(value)) return value
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, worsen(item)]))
}

function isKeyOf<T extends object>(value: T, name: string): name is Extract<keyof T, string> {
  return Object.hasOwn(value, name)
}
