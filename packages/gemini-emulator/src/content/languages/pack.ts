/** One language of the emulator. Templates take {topic}, {subtopic} and, in `middles`, {aspect}. */
export interface LanguagePack {
  /** At least 20; with {topic} at most 5 other words. */
  subtopics: string[]
  fields?: Field[]
  openings: string[]
  middles: string[]
  aspects: string[]
  closings: string[]
  applications: string[]
  searches: string[]
  picture: PicturePhrases
  refusal: string
}

/** Subtopics of one field of knowledge; a topic belongs to it when it contains one of the words. */
export interface Field {
  words: RegExp
  subtopics: string[]
}

/** Words for what can be told of a picture: {shape}, {colour}, {background}, {number}. */
export interface PicturePhrases {
  onBackground: string
  plain: string
  barCode: string
  landscape: string
  portrait: string
  square: string
  colours: Record<ColourName, string>
  shapes: Record<ShapeName, string>
}

export type ColourName =
  | 'black'
  | 'white'
  | 'grey'
  | 'red'
  | 'orange'
  | 'yellow'
  | 'green'
  | 'turquoise'
  | 'blue'
  | 'purple'
  | 'pink'
  | 'brown'

export type ShapeName = 'square' | 'rectangle' | 'circle' | 'ellipse' | 'triangle' | 'pattern'
