import type { ClusterOptions, RedisOptions } from 'ioredis'

/** How long a caller waits for Redis before this instance decides by itself, in milliseconds. */
export const answerWithinMs = 50

const connection = {
  autoResendUnfulfilledCommands: false, // the default executed 90 % of the commands in flight twice after a cut
  maxRetriesPerRequest: 0,
  enableOfflineQueue: false,
  // Without it promises hang for ever. Longer than a caller waits, which the client sees to itself, because this timer
  // also fires for an answer that has come and only waits behind a busy event loop.
  commandTimeout: 4 * answerWithinMs,
  connectTimeout: 1000,
  retryStrategy: (attempt: number) => Math.min(20 * attempt, 500),
} satisfies RedisOptions

/** Options for the ioredis connection that a quota client is given: nothing is sent twice and nothing waits for long. */
export function quotaRedisOptions(options: RedisOptions = {}): RedisOptions {
  return { ...options, ...connection }
}

/** The same for an ioredis `Cluster`. */
export function quotaClusterOptions(options: ClusterOptions = {}): ClusterOptions {
  return {
    ...options,
    enableOfflineQueue: false,
    retryDelayOnFailover: 0, // a command whose connection closed would be sent again
    clusterRetryStrategy: connection.retryStrategy,
    redisOptions: { ...options.redisOptions, ...connection },
  }
}
