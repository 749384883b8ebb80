import { setting } from '@knowalledge/service-kit'
import { Type } from 'typebox'

const milliseconds = (description: string, standard: number) =>
  setting.wholeNumber(description, { default: standard, minimum: 100, maximum: 3_600_000 })
const perMinute = (description: string, standard: number) =>
  setting.wholeNumber(`${description}; 0: no limit`, { default: standard, minimum: 0, maximum: 1_000_000_000 })
const atMost = (description: string, standard: number) =>
  setting.wholeNumber(`${description}; 0: no limit`, { default: standard, minimum: 0, maximum: 1_000_000 })

/** What the gateway lets in: how often, how many at once, how slowly, from where, and on which port. */
export const admissionSettings = {
  ADMIN_PORT: setting.optionalPort(
    'Serves /metrics, /ops, /docs, /openapi.json and /api/admin/* on this port and no longer on PORT',
  ),
  CORS_ORIGINS: Type.Refine(
    Type.String({
      description:
        'Origins of web pages that may ask, with cookies; * any, without cookies. Empty: the same origin only',
      default: '',
      expectation: 'origins such as https://app.example, separated by commas, or * alone',
    }),
    (value) => value === '*' || originsOf(value).every(isOrigin),
    () => 'not a list of origins',
  ),
  RATE_LIMIT_PER_MINUTE: perMinute(
    'Requests of one key, its sessions included, or one address to routes that may ask Gemini',
    300,
  ),
  RATE_LIMIT_CHEAP_PER_MINUTE: perMinute('Its requests to other routes, probes excepted', 3_000),
  RATE_LIMIT_NOT_FOUND_PER_MINUTE: perMinute('Paths that do not exist, asked for by one address', 100),
  RATE_LIMIT_FAILED_LOGINS_PER_MINUTE: perMinute('Wrong keys of one address that get a 401; more get a 429', 20),
  MAX_IN_FLIGHT: atMost('Requests that services work on at once for one gateway; more get a 503', 256),
  MAX_IN_FLIGHT_PER_ADDRESS: atMost(
    'Requests of one address at once, slow and waiting ones included; more get a 429',
    128,
  ),
  MAX_IN_FLIGHT_PER_CLIENT: atMost('The same of one key, session or browser', 32),
  MIN_BYTES_PER_SECOND: atMost('A client that sends a body or reads an answer more slowly is cut off', 4_096),
  MAX_EVENT_LOOP_DELAY_MS: atMost('Above this mean delay of the event loop requests get a 503', 300),
  MAX_EVENT_LOOP_UTILIZATION: setting.number(
    'Above this busy share of the event loop requests get a 503; 0: no limit',
    {
      default: 0,
      minimum: 0,
      maximum: 1,
    },
  ),
  MAX_HEAP_MEGABYTES: atMost('Above this much used heap requests get a 503', 0),
  MAX_CONNECTIONS: atMost('Open connections', 4_096),
  MAX_CONNECTIONS_PER_ADDRESS: atMost('Open connections of one address; behind a proxy they are all the proxy’s', 0),
  HEADERS_TIMEOUT_MS: milliseconds('Timeout for the headers of a request', 10_000),
  REQUEST_TIMEOUT_MS: milliseconds('Timeout for a whole request', 60_000),
  KEEP_ALIVE_TIMEOUT_MS: milliseconds(
    'How long an idle connection stays open; longer than the proxy before it keeps one',
    72_000,
  ),
}

/** `https://a.example, https://b.example` → both. */
export function originsOf(commaSeparated: string): string[] {
  return commaSeparated === '' ? [] : commaSeparated.split(',').map((origin) => origin.trim())
}

/** As a browser sends it: scheme, host and port, nothing more. */
function isOrigin(text: string): boolean {
  return /^https?:[^*]+$/.test(text) && URL.parse(text)?.origin === text
}
