import t from 'tap'
import { build, jsonOf } from '../build.ts'

t.test('gives the subtopics that are asked for, by the schema or by the prompt', async (t) => {
  const { ask } = build(t)
  const subtopics = async (prompt: string, bounds = {}) => {
    const schema = {
      type: 'OBJECT',
      properties: { subtopics: { type: 'ARRAY', items: { type: 'STRING' }, ...bounds } },
    }
    const { json } = await ask(prompt, jsonOf(schema))
    return JSON.parse(json.candidates[0].content.parts[0].text).subtopics
  }
  t.equal((await subtopics('Topic: Rome\nName 15 different subtopics.')).length, 15)
  t.equal((await subtopics('Topic: Rome')).length, 15)
  t.equal((await subtopics('Topic: Rome\nCount: 5')).length, 5)
  t.equal((await subtopics('Topic: Rome\nCount: 5', { minItems: 7 })).length, 7)
  t.equal((await subtopics('Topic: Rome', { maxItems: 4 })).length, 4)
})

t.test('fills any other schema with data that fits it', async (t) => {
  const { ask } = build(t)
  const schema = {
    type: 'object',
    properties: {
      title: { type: 'string' },
      kind: { type: 'string', enum: ['a', 'b'] },
      pages: { type: 'integer' },
      price: { type: 'number' },
      isNew: { type: 'boolean' },
      chapters: {
        type: 'array',
        minItems: 2,
        maxItems: 2,
        items: { type: 'object', properties: { name: { type: 'string' } } },
      },
      topic: { type: 'integer' },
    },
    required: ['title'],
  }
  const { json } = await ask('Topic: Rome', jsonOf(schema))
  const book = JSON.parse(json.candidates[0].content.parts[0].text)
  t.match(book, {
    title: String,
    kind: /^[ab]$/,
    price: Number,
    isNew: Boolean,
    chapters: [{ name: String }, { name: String }],
  })
  t.ok(Number.isInteger(book.pages) && Number.isInteger(book.topic))
  t.equal(book.chapters.length, 2)
  const list = await ask('Topic: Rome', jsonOf({ type: 'ARRAY', items: { type: 'STRING' } }))
  t.equal(JSON.parse(list.json.candidates[0].content.parts[0].text).length, 3)
})

t.test('answers in prose when no JSON is asked for', async (t) => {
  const { ask } = build(t)
  t.match((await ask('Tell me about "urban farming"')).json.candidates[0].content.parts[0].text, /urban farming/i)
})
