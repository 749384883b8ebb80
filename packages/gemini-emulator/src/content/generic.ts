import { type Random, randomFrom } from '../random.ts'
import type { WireSchema } from '../wire.ts'
import type { Wish } from './prompt.ts'
import { writeExplanation, writeSubtopics } from './texts.ts'

/** Data that fits any schema, about the wished topic. */
export function writeGeneric(schema: WireSchema, wish: Wish): unknown {
  return write(schema, wish, randomFrom(`generic ${JSON.stringify(schema)} ${JSON.stringify(wish)}`))
}

function write(schema: WireSchema, wish: Wish, random: Random): unknown {
  switch (schema.type) {
    case 'OBJECT':
      return Object.fromEntries(
        Object.entries(schema.properties ?? {}).map(([name, property]) => [name, write(property, wish, random)]),
      )
    case 'ARRAY':
      return writeArray(schema, wish, random)
    case 'INTEGER':
      return Math.floor(random.next() * 100) + 1
    case 'NUMBER':
      return Math.round(random.next() * 1000) / 100
    case 'BOOLEAN':
      return random.next() < 0.5
    default:
      return schema.enum?.length ? random.pick(schema.enum) : random.pick(writeSubtopics(wish, 15))
  }
}

function writeArray(schema: WireSchema, wish: Wish, random: Random): unknown[] {
  const { items = { type: 'STRING' } } = schema
  const count = Math.min(Math.max(schema.minItems ?? 3, 0), schema.maxItems ?? Infinity)
  const isPlainText = items.type === 'STRING' && !items.enum
  return isPlainText ? writeSubtopics(wish, count) : Array.from({ length: count }, () => write(items, wish, random))
}

/** A plain answer to a prompt without a schema. */
export function writePlainText(wish: Wish): string {
  const subtopic = wish.subtopic === wish.topic ? (writeSubtopics(wish, 1)[0] ?? wish.topic) : wish.subtopic
  const { explanation, real_world_application } = writeExplanation({ ...wish, subtopic })
  return `${explanation}\n\n${real_world_application}`
}
