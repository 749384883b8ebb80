import { createGenerationApp, type ServiceOptions } from '@knowalledge/generation'
import type { App } from '@knowalledge/service-kit'
import { createPresentation } from './routes/create-presentation.ts'
import { createSubtopics } from './routes/create-subtopics.ts'
import { explanation } from './routes/explanation.ts'

/** The text-generation service: subtopics of a topic, and explanations of them. */
export async function buildApp({ config, backends, logger }: ServiceOptions): Promise<App> {
  const { app, tools } = await createGenerationApp({
    service: 'text-generation',
    description: 'Subtopics of a topic, and explanations of them.',
    chain: 'text',
    operations: ['create_subtopics', 'create_presentation'],
    config,
    backends,
    logger,
  })
  createSubtopics(app, tools)
  createPresentation(app, tools)
  explanation(app, tools)
  return app
}
