export { freePort } from './free-port.ts'
export { redisForTest, redisServerForTest, type TestRedisServer } from './redis.ts'
export type { TestContext } from './test-context.ts'
