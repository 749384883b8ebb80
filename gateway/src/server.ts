import { openPools } from '@knowalledge/generation/pools'
import { quotaChecks, redisDisabled } from '@knowalledge/generation/quota'
import { cacheRedisConfig, connectRedis, redisFaults } from '@knowalledge/redis-kit'
import { createResponseCache } from '@knowalledge/response-cache'
import { createLogger, serve, start, startTracing } from '@knowalledge/service-kit'
import { buildApp } from './app.ts'
import { loadConfig } from './config.ts'

await start(async () => {
  const config = loadConfig()
  const stopTracing = await startTracing({ service: 'gateway', endpoint: config.OTEL_EXPORTER_OTLP_ENDPOINT })
  const logger = createLogger({ level: config.LOG_LEVEL })
  const redis = await connectRedis(config, { log: logger })
  const faults = redisFaults(logger)
  const { pools, close: closePools } = openPools(config, { redis, role: 'observer', faultsOf: faults.of })
  // Another connection, as it subscribes to what other instances say; only to empty the cache, so it holds nothing.
  const cacheRedis = await connectRedis(cacheRedisConfig(config), { log: logger })
  const cache = createResponseCache({ redis: cacheRedis, maxItems: 1, onFault: faults.of('cache') })
  const app = await buildApp({
    config,
    cache,
    pools,
    requestCounts: { redis, onFault: faults.of('rate limits') },
    checks: redis ? quotaChecks(pools, { isObserver: true }) : { redis: redisDisabled },
    redisCircuit: redis && faults.circuit,
    identityStore: redis && { redis, onFault: faults.of('keys and sessions') },
    logger,
  })
  app.addHook('onClose', async () => {
    await Promise.all([closePools(), cache.close(), stopTracing()])
    for (const connection of [redis, cacheRedis]) connection?.disconnect()
  })
  await serve(app, config)
})
