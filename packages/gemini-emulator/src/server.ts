import closeWithGrace from 'close-with-grace'
import { ConfigError, loadConfig } from './config.ts'
import { buildEmulator } from './emulator.ts'

try {
  const { host, port, logLevel, emulator } = loadConfig()
  const app = buildEmulator({ ...emulator, logger: { level: logLevel } })
  closeWithGrace({ delay: 10_000 }, async ({ err, signal }) => {
    if (err) app.log.error(err)
    app.log.info({ signal }, 'The emulator stops once the requests in flight are answered')
    await app.close()
  })
  const url = await app.listen({ host, port, listenTextResolver: (address) => `Listening at ${address}` })
  app.log.info({ limits: emulator.limits }, `This is a Gemini EMULATOR, not Google: set GEMINI_BASE_URL=${url}`)
} catch (error) {
  if (!(error instanceof ConfigError)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exit(1)
}
