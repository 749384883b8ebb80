import { randomBytes } from 'node:crypto'
import { buildApp as buildGateway } from '@knowalledge/gateway'
import { loadConfig as loadGatewayConfig } from '@knowalledge/gateway/config'
import { buildEmulator } from '@knowalledge/gemini-emulator'
import { openBackends } from '@knowalledge/generation'
import { type PoolConfig, type PoolPlan, planPools } from '@knowalledge/generation/pools'
import { buildApp as buildImageGeneration } from '@knowalledge/image-generation'
import { loadConfig as loadServiceConfig } from '@knowalledge/image-generation/config'
import { createLogger, type Environment, serve, start, startTracing } from '@knowalledge/service-kit'
import { buildApp as buildTextGeneration } from '@knowalledge/text-generation'
import { buildApp as buildVision } from '@knowalledge/vision'
import { loadConfig as loadVisionConfig } from '@knowalledge/vision/config'
import type { FastifyInstance } from 'fastify'
import { welcome } from './welcome.ts'

/**
 * Everything in one process: the gateway, the three services and, without an API key, the emulator; over the in-memory
 * twins unless REDIS_URL or REDIS_HOST is set. PORT (5000) is the gateway's, the others take the four ports after it.
 */
await start(async () => {
  const env = embeddedEnvironment(process.env)
  const gatewayConfig = loadGatewayConfig(env)
  const stopTracing = await startTracing({
    service: 'knowalledge',
    endpoint: gatewayConfig.OTEL_EXPORTER_OTLP_ENDPOINT,
  })
  const logger = createLogger({ level: gatewayConfig.LOG_LEVEL })
  const portAfter = (n: number) => (gatewayConfig.PORT === 0 ? 0 : gatewayConfig.PORT + n)
  const listen = (app: FastifyInstance, n: number) => app.listen({ host: gatewayConfig.HOST, port: portAfter(n) })

  const emulator = hasApiKey(env) ? undefined : buildEmulator(emulatedLimits(gatewayConfig))
  const emulatorUrl = emulator && (await listen(emulator, 4))
  const serviceEnv = {
    ...env,
    ...(emulatorUrl !== undefined && { GEMINI_BASE_URL: emulatorUrl, GEMINI_API_KEY: 'emulator' }),
    METRICS_PORT: undefined, // the gateway's
  }
  const serviceConfig = loadServiceConfig(serviceEnv)
  const backends = await openBackends(serviceConfig, logger)
  const options = { config: serviceConfig, backends, logger }
  const visionOptions = { ...options, config: loadVisionConfig(serviceEnv) }
  const services = [
    await buildTextGeneration(options),
    await buildVision(visionOptions),
    await buildImageGeneration(options),
  ]
  const [textGeneration = '', vision = '', imageGeneration = ''] = await Promise.all(
    services.map((app, index) => listen(app, index + 1)),
  )

  const { redis, faultsOf } = backends.shared
  const { gemini: _, ...gatewayChecks } = backends.checks
  const gateway = await buildGateway({
    config: {
      ...gatewayConfig,
      TEXT_GENERATION_URL: textGeneration,
      VISION_URL: vision,
      IMAGE_GENERATION_URL: imageGeneration,
    },
    cache: backends.cache,
    pools: backends.pools,
    requestCounts: { redis, onFault: faultsOf('rate limits') },
    checks: gatewayChecks,
    redisCircuit: backends.redisCircuit,
    identityStore: redis && { redis, onFault: faultsOf('keys and sessions') },
    logger,
  })
  // After the gateway's last request is answered nobody asks the others any more.
  gateway.addHook('onClose', async () => {
    await Promise.all(services.map((app) => app.close()))
    await Promise.all([backends.close(), stopTracing()])
    await emulator?.close()
  })
  const url = await serve(gateway, gatewayConfig)
  console.log(
    welcome({
      url,
      docsUrl: docsUrl(url, gatewayConfig.ADMIN_PORT),
      services: { textGeneration, vision, imageGeneration, emulator: emulatorUrl },
      config: serviceConfig,
    }),
  )
})

function docsUrl(url: string, adminPort: number | undefined): string {
  const docs = new URL('/docs', url)
  if (adminPort !== undefined) docs.port = String(adminPort)
  return docs.href
}

/** Quiet and local unless told otherwise, and without Redis unless it is named. */
function embeddedEnvironment(given: Environment): Environment {
  const GATEWAY_SECRET = given.GATEWAY_SECRET || randomBytes(32).toString('hex')
  const env: Environment = { LOG_LEVEL: 'warn', HOST: '127.0.0.1', DRAIN_MS: '0', ...given, GATEWAY_SECRET }
  return env.REDIS_URL || env.REDIS_HOST ? env : { ...env, REDIS_ENABLED: 'false' }
}

function hasApiKey(env: Environment): boolean {
  return Boolean(env.GEMINI_API_KEY || env.GOOGLE_API_KEY)
}

/** The emulator refuses by itself what Google would, at the very limits that the quota is to keep. */
function emulatedLimits(config: PoolConfig) {
  const limitsOf = ({ rpm, rpd, tpm }: PoolPlan['limits']) => ({ rpm, rpd, inputTpm: tpm })
  const pools = planPools(config).flatMap(({ models, limits }) =>
    models.map((model) => [model, limitsOf(limits)] as const),
  )
  return {
    limits: { rpm: config.QUOTA_RPM, rpd: config.QUOTA_RPD, inputTpm: config.QUOTA_TPM },
    modelLimits: Object.fromEntries(pools),
  }
}
