import type { Page } from './state.ts'
import { t } from './texts.ts'

/** The finished explanations of a page as a Markdown document. */
export function markdownOf({ question, chosen, items }: Page): string {
  const sections = chosen.flatMap((name) => {
    const explained = items[name]?.explained
    if (explained === undefined) return []
    const { text, application, videoQuery } = explained
    const video = `[${t.value.video}: ${escaped(videoQuery)}](${videoUrl(videoQuery)})`
    return [`## ${escaped(name)}`, escaped(text), `**${t.value.application}:** ${escaped(application)}`, video]
  })
  return `${[`# ${escaped(question.topic)}`, ...sections].join('\n\n')}\n`
}

export function videoUrl(query: string): string {
  return `https://www.youtube.com/results?search_query=${encodeURIComponent(query)}`
}

function escaped(text: string): string {
  return text.replace(/([\\`*_[\]<>#])/g, '\\$1')
}
