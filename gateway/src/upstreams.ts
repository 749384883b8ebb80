export type ServiceName = 'text-generation' | 'vision' | 'image-generation'

/** One service and where its instances are. */
export interface Upstream {
  name: ServiceName
  urls: readonly string[]
  /** The next instance, in turn. */
  next(): string
}

export interface UpstreamUrls {
  TEXT_GENERATION_URL: string
  VISION_URL: string
  IMAGE_GENERATION_URL: string
}

export type Upstreams = Record<ServiceName, Upstream>

export function createUpstreams(config: UpstreamUrls): Upstreams {
  return {
    'text-generation': createUpstream('text-generation', config.TEXT_GENERATION_URL),
    vision: createUpstream('vision', config.VISION_URL),
    'image-generation': createUpstream('image-generation', config.IMAGE_GENERATION_URL),
  }
}

function createUpstream(name: ServiceName, commaSeparated: string): Upstream {
  const urls = commaSeparated.split(',').map((url) => url.trim())
  let turn = 0
  return { name, urls, next: () => urls[turn++ % urls.length] as string }
}
