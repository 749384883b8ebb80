import type { Contender } from './cache-contenders.ts'
import { paths } from './cache-questions.ts'
import { type Figures, type LoadOptions, load } from './wrk.ts'

/** Loads a contender with the questions in turn. Throws when an answer was not a 200. */
export function measure({ name, url, processes }: Contender, options: LoadOptions): Promise<Figures> {
  return load({ name, url, processes, script: 'cache-load.lua', given: paths }, options)
}
