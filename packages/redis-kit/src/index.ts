export { CircuitBreaker, type CircuitBreakerOptions, isWrongType } from './circuit-breaker.ts'
export {
  cacheRedisConfig,
  clusterOptions,
  connectRedis,
  defineScript,
  type RedisConnection,
  redisLocation,
  redisOptions,
  subscriberTo,
} from './connection.ts'
export { type Clock, systemClock, withDeadline } from './deadline.ts'
export { causeOf, type RedisFault, redisFaults, remedyFor, type UnavailableCause } from './faults.ts'
export { type RedisConfig, redisSettings } from './settings.ts'
