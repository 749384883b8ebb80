import { runService } from '@knowalledge/generation'
import { buildApp } from './app.ts'
import { loadConfig } from './config.ts'

await runService({ name: 'vision', loadConfig, buildApp })
