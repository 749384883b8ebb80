// `npm run lighthouse`: both pages, as a phone. Fails when a category of a page is below its bound.
import { chromiumPath, freePort } from '@knowalledge/testing'
import lighthouse from 'lighthouse'
import { chromium } from 'playwright-core'
import { scriptContext, startPages } from './pages.ts'

const least = 95
const categories = ['performance', 'accessibility', 'best-practices', 'seo']

const context = scriptContext()
try {
  const { url } = await startPages(context)
  const port = await freePort()
  const args = ['--no-sandbox', `--remote-debugging-port=${port}`]
  const browser = await chromium.launch({ executablePath: chromiumPath(), args })
  context.teardown(() => browser.close())
  console.log(['page', ...categories].join('\t'))
  for (const path of ['/', '/ops']) {
    const result = await lighthouse(url + path, { port, onlyCategories: categories, logLevel: 'error' })
    if (result === undefined) throw new Error(`Lighthouse has no result for ${path}.`)
    const { lhr } = result
    const scores = categories.map((name) => Math.round(100 * (lhr.categories[name]?.score ?? 0)))
    console.log([path, ...scores].join('\t'))
    const weak = categories.filter((_, index) => (scores[index] ?? 0) < least)
    for (const name of weak) {
      process.exitCode = 1
      const refs = lhr.categories[name]?.auditRefs ?? []
      const failed = refs.filter(({ id, weight }) => weight > 0 && (lhr.audits[id]?.score ?? 1) < 0.9)
      for (const { id } of failed) console.error(`  ${name}: ${id} ${lhr.audits[id]?.displayValue ?? ''}`)
    }
  }
} finally {
  await context.end()
}
