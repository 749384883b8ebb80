interface Started {
  url: string
  /** Of the admin port, where there is one. */
  docsUrl: string
  services: { textGeneration: string; vision: string; imageGeneration: string; emulator: string | undefined }
  config: {
    QUOTA_RPM: number
    QUOTA_RPD: number
    QUOTA_TPM: number
    QUOTA_TPD: number
    REDIS_ENABLED: boolean
    REDIS_URL?: string
    REDIS_HOST: string
    GEMINI_TEXT_MODEL: string
    GEMINI_IMAGE_MODEL: string
  }
}

/** What a person reads after `npm start`: what runs, on what, where, and what to try. */
export function welcome({ url, docsUrl, services, config }: Started): string {
  const number = (value: number) => value.toLocaleString('en-US')
  const answers = services.emulator
    ? `from the built-in Gemini emulator at ${services.emulator}: made up, but like the real thing.
               For real ones: GEMINI_API_KEY=<your key> npm start`
    : `from Google's ${config.GEMINI_TEXT_MODEL} and ${config.GEMINI_IMAGE_MODEL}, with your key`
  const state = config.REDIS_ENABLED
    ? 'in Redis, shared with every other instance that uses it'
    : 'in this process. To share them: REDIS_URL=redis://localhost:6379 npm start'
  return `
  KnowAllEdge AI backend is up.

    Open       ${url}/   (the learning app)
    Operations ${new URL('/ops', docsUrl)}
    Gateway    ${url}   (what you call; the rest is behind it)
    Docs       ${docsUrl}
    Services   text-generation ${services.textGeneration}, vision ${services.vision}, image-generation ${services.imageGeneration}

    Answers    ${answers}
    Quota      ${number(config.QUOTA_RPM)} requests and ${number(config.QUOTA_TPM)} tokens a minute, ${number(config.QUOTA_RPD)} and ${number(config.QUOTA_TPD)} a day
    State      quota and cache live ${state}

  Try:
    curl -s ${url}/api/create_subtopics -H 'content-type: application/json' -d '{"topic": "Photosynthesis"}'
    curl -s ${url}/api/quota/stats

  Ctrl-C stops it. LOG_LEVEL=info shows each request.
`
}
