import { runService } from '@knowalledge/generation'
import { buildApp } from './app.ts'
import { loadConfig } from './config.ts'

await runService({ name: 'text-generation', loadConfig, buildApp })
