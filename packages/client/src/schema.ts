// Written by `npm run client:types` from /openapi.json. Do not edit.

export interface CreateSubtopicsBody {
  topic: string
  /**
   * Such as `es`; falls back to Accept-Language, then English
   */
  language?: string
}

/**
 * Fifteen subtopics
 */
export interface CreateSubtopicsAnswer {
  subtopics: string[]
  count: number
  quality_score: number
  warnings: string[]
  /**
   * The model that wrote it
   */
  model: string
  cached: boolean
  /**
   * True for a stale copy: a fresh answer could not be had
   */
  from_fallback: boolean
}

export interface GetSubtopicsQuery {
  topic: string
  language?: string
}

/**
 * Fifteen subtopics
 */
export interface GetSubtopicsAnswer {
  subtopics: string[]
  count: number
  quality_score: number
  warnings: string[]
  /**
   * The model that wrote it
   */
  model: string
  cached: boolean
  /**
   * True for a stale copy: a fresh answer could not be had
   */
  from_fallback: boolean
}

export interface CreatePresentationBody {
  topic: string
  educationLevel: string
  /**
   * Steers the length: about 100, 150 or 300 words
   */
  levelOfDetail: string
  /**
   * The subtopics to explain
   */
  focus: string[]
  learningStyle?: string
  language?: string
}

/**
 * One entry for each subtopic, explained or with the reason why not
 */
export interface CreatePresentationAnswer {
  /**
   * In the order of `focus`
   */
  explanations: {
    subtopic: string
    explanation: string | null
    real_world_application: string | null
    youtube_search_query: string | null
    quality_score: number | null
    model: string | null
    cached: boolean
    from_fallback: boolean
    /**
     * Why there is no explanation; null when there is one
     */
    error: string | null
  }[]
  success_count: number
  failed_count: number
}

export interface GetExplanationQuery {
  topic: string
  subtopic: string
  educationLevel: string
  levelOfDetail: string
  learningStyle?: string
  language?: string
}

/**
 * One explanation
 */
export interface GetExplanationAnswer {
  subtopic: string
  explanation: string
  real_world_application: string
  youtube_search_query: string
  quality_score: number
  /**
   * The model that wrote it
   */
  model: string
  cached: boolean
  from_fallback: boolean
}

/**
 * What the image shows
 */
export interface Image2TopicAnswer {
  generated_topic: string
  quality_score: number
  warnings: string[]
  /**
   * The model that wrote it
   */
  model: string
  cached: boolean
  from_fallback: boolean
}

export interface GenerateImageBody {
  prompt: string
}

/**
 * The picture, and where it is to be had again
 */
export interface GenerateImageAnswer {
  image: string
  /**
   * What `image` truly is
   */
  format: 'base64_png' | 'base64_jpeg'
  mime_type: 'image/png' | 'image/jpeg'
  /**
   * The same picture as plain bytes, as long as it is cached
   */
  url: string
  /**
   * The model that wrote it
   */
  model: string
  cached: boolean
  from_fallback: boolean
}

export interface SessionAnswer {
  tenant: string
  /**
   * However much it is used
   */
  expires_at: string
  /**
   * Unless it is used
   */
  idle_expires_at: string
}

export interface GetSessionAnswer {
  tenant: string
  /**
   * However much it is used
   */
  expires_at: string
  /**
   * Unless it is used
   */
  idle_expires_at: string
}

export interface GetCsrfTokenAnswer {
  /**
   * For the header X-CSRF-Token
   */
  csrf_token: string
}

/**
 * What it depends on; 503 when it cannot answer
 */
export interface GetReadyAnswer {
  status: 'ready' | 'degraded' | 'not_ready'
  service: string
  checks: {
    [k: string]: {
      status: string
      /**
       * Seconds, such as 0.002s
       */
      response_time: string
      [k: string]: unknown
    }
  }
}

/**
 * What lives; 503 when no service does
 */
export interface GetHealthAnswer {
  status: 'healthy' | 'degraded' | 'unhealthy'
  gateway: {
    status: 'healthy'
    uptime_seconds: number
  }
  services: {
    [k: string]: {
      status: 'healthy' | 'degraded' | 'unhealthy' | 'unreachable'
      instances?: number
      healthy_instances?: number
      /**
       * Seconds, such as 0.002s
       */
      response_time: string
    }
  }
}

/**
 * What the whole fleet has used
 */
export interface GetQuotaStatsAnswer {
  requests: {
    per_minute: {
      current: number
      limit: number
      remaining: number
      /**
       * 0 to 100
       */
      percentage: number
      resets_in_seconds: number
    }
    per_day: {
      current: number
      limit: number
      remaining: number
      /**
       * 0 to 100
       */
      percentage: number
      resets_in_seconds: number
    }
  }
  tokens: {
    per_minute: {
      current: number
      limit: number
      remaining: number
      /**
       * 0 to 100
       */
      percentage: number
      resets_in_seconds: number
    }
    per_day: {
      current: number
      limit: number
      remaining: number
      /**
       * 0 to 100
       */
      percentage: number
      resets_in_seconds: number
    }
  }
  statistics: {
    /**
     * Of today
     */
    average_tokens_per_request: number
    /**
     * Service processes that share the quota
     */
    instances: number
    /**
     * True while Redis cannot be used: the figures are the last ones that were seen
     */
    degraded: boolean
  }
  /**
   * Calls that wait for their start: the explanations of presentations are batch calls
   */
  queue: {
    interactive: {
      /**
       * Calls in line
       */
      length: number
      /**
       * When a call that came now would start; null: never, as the limits are too small
       */
      starts_in_seconds: number | null
    }
    batch: {
      /**
       * Calls in line
       */
      length: number
      /**
       * When a call that came now would start; null: never, as the limits are too small
       */
      starts_in_seconds: number | null
    }
  }
  /**
   * While the use of the last minute is uncertain no instance calls Gemini: why, and until when
   */
  hold: {
    cause: string
    ends_in_seconds: number
  } | null
  /**
   * After a 429 of Gemini: nobody asks until it ends
   */
  pause: {
    limit_type: string
    resumes_in_seconds: number
  } | null
  /**
   * Each model and its quota; the figures outside are those of the best text model
   */
  models: {
    model: string
    /**
     * Models with the same pool share their quota
     */
    pool: string
    requests: {
      per_minute: {
        current: number
        limit: number
        remaining: number
        /**
         * 0 to 100
         */
        percentage: number
        resets_in_seconds: number
      }
      per_day: {
        current: number
        limit: number
        remaining: number
        /**
         * 0 to 100
         */
        percentage: number
        resets_in_seconds: number
      }
    }
    tokens: {
      per_minute: {
        current: number
        limit: number
        remaining: number
        /**
         * 0 to 100
         */
        percentage: number
        resets_in_seconds: number
      }
      per_day: {
        current: number
        limit: number
        remaining: number
        /**
         * 0 to 100
         */
        percentage: number
        resets_in_seconds: number
      }
    }
    /**
     * Calls that wait for their start: the explanations of presentations are batch calls
     */
    queue: {
      interactive: {
        /**
         * Calls in line
         */
        length: number
        /**
         * When a call that came now would start; null: never, as the limits are too small
         */
        starts_in_seconds: number | null
      }
      batch: {
        /**
         * Calls in line
         */
        length: number
        /**
         * When a call that came now would start; null: never, as the limits are too small
         */
        starts_in_seconds: number | null
      }
    }
    /**
     * While the use of the last minute is uncertain no instance calls Gemini: why, and until when
     */
    hold: {
      cause: string
      ends_in_seconds: number
    } | null
    /**
     * After a 429 of Gemini: nobody asks until it ends
     */
    pause: {
      limit_type: string
      resumes_in_seconds: number
    } | null
  }[]
}
