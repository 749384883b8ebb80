import { createQuotaClient, quotaRedisOptions } from '@knowalledge/quota-client'
import {
  connectRedis,
  createLogger,
  quotaOptions,
  redisCheck,
  redisFaultLog,
  serve,
  start,
} from '@knowalledge/service-kit'
import { buildApp } from './app.ts'
import { loadConfig } from './config.ts'

await start(async () => {
  const config = loadConfig()
  const logger = createLogger({ level: config.LOG_LEVEL })
  const redis = await connectRedis(config, quotaRedisOptions(), logger)
  const quota = createQuotaClient({ redis, ...quotaOptions(config), onFault: redisFaultLog(logger, 'quota') })
  const app = await buildApp({ config, quota, redis: redisCheck(redis), logger })
  app.addHook('onClose', async () => {
    await quota.close()
    redis?.disconnect()
  })
  await serve(app, config)
})
