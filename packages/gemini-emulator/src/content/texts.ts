import { randomFrom } from '../random.ts'
import { languagePack } from './languages/index.ts'
import type { Wish } from './prompt.ts'

export interface Explanation {
  explanation: string
  real_world_application: string
  youtube_search_query: string
}

const MAX_TOPIC_WORDS = 3
/** How many of the subtopics come from the topic's own field, when it is known. */
const FIELD_SHARE = 0.6
const MAX_TOPIC_LETTERS = 40

/** Different subtopics of the wished topic, each at most eight words; the same wish gives the same ones. */
export function writeSubtopics(wish: Wish, count: number): string[] {
  const random = randomFrom(`subtopics ${wish.language} ${wish.topic}`)
  const pack = languagePack(wish.language)
  const topic = shorten(wish.topic)
  const field = pack.fields?.find(({ words }) => words.test(wish.topic))
  const special = random.shuffle(field?.subtopics ?? []).slice(0, Math.ceil(count * FIELD_SHARE))
  const templates = [...special, ...random.shuffle(pack.subtopics)]
  return Array.from({ length: count }, (_, index) => {
    const subtopic = capitalise(fill(templates[index % templates.length] as string, { topic }))
    const round = Math.floor(index / templates.length)
    return round === 0 ? subtopic : `${subtopic} ${round + 1}`
  })
}

/** An explanation of about the wished number of words, an application of two sentences and a search query. */
export function writeExplanation(wish: Wish): Explanation {
  const random = randomFrom(`explanation ${JSON.stringify(wish)}`)
  const pack = languagePack(wish.language)
  const put = (template: string, aspect = '') =>
    capitalise(fill(template, { topic: wish.topic, subtopic: wish.subtopic, aspect }))
  const [first = '', second = ''] = random.shuffle(pack.applications)
  return {
    explanation: joinSentences(writeParagraph(wish, random)),
    real_world_application: joinSentences([put(first), put(second)]),
    youtube_search_query: fill(random.pick(pack.searches), {
      topic: shorten(wish.topic),
      subtopic: shorten(wish.subtopic),
    }),
  }
}

/** Words of a text in any script. */
export function countWords(text: string): number {
  let words = 0
  for (const segment of WORDS.segment(text)) if (segment.isWordLike) words += 1
  return words
}

const WORDS = new Intl.Segmenter('en', { granularity: 'word' })

function writeParagraph(wish: Wish, random: ReturnType<typeof randomFrom>): string[] {
  const pack = languagePack(wish.language)
  const values = { topic: wish.topic, subtopic: wish.subtopic }
  const opening = capitalise(fill(random.pick(pack.openings), values))
  const closing = capitalise(fill(random.pick(pack.closings), values))
  const sentences = [opening]
  if (pack === languagePack('en') && wish.level) {
    sentences.push(`At the level of ${wish.level}, the main idea is that the parts only make sense together.`)
  }
  let words = countWords([...sentences, closing].join(' '))
  for (const middle of middleSentences(wish, random)) {
    const added = countWords(middle)
    if (words + added / 2 > wish.words && sentences.length > 1) break
    sentences.push(middle)
    words += added
  }
  return [...sentences, closing]
}

/** Every pairing of a middle sentence with an aspect once, so that even long texts do not repeat a sentence. */
function middleSentences(wish: Wish, random: ReturnType<typeof randomFrom>): string[] {
  const pack = languagePack(wish.language)
  const middles = random.shuffle(pack.middles)
  const aspects = random.shuffle(pack.aspects)
  return aspects.flatMap((_, round) =>
    middles.map((middle, index) => {
      const aspect = aspects[(index + round) % aspects.length] as string
      return capitalise(fill(middle, { topic: wish.topic, subtopic: wish.subtopic, aspect }))
    }),
  )
}

function fill(template: string, values: Record<string, string>): string {
  return template.replaceAll(/\{(\w+)\}/g, (whole, name: string) => values[name] ?? whole)
}

function shorten(topic: string): string {
  const words = topic.split(/\s+/u).slice(0, MAX_TOPIC_WORDS).join(' ')
  return [...words].slice(0, MAX_TOPIC_LETTERS).join('')
}

function joinSentences(sentences: string[]): string {
  return sentences.reduce((text, sentence) => text + (/[\u3002\uFF1F\uFF01]$/u.test(text) ? '' : ' ') + sentence).trim()
}

function capitalise(text: string): string {
  const [first = '', ...rest] = text
  return first.toLocaleUpperCase() + rest.join('')
}
