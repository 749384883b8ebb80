import { ending, get, head, post } from './hostile-request.ts'

const target = 'POST /api/create_subtopics HTTP/1.1'
const json = 'content-type: application/json'
const closing = 'connection: close'
const body = '{"topic":"smuggled"}'

/** A whole request that must never be seen as one when it stands in another's body. */
export const smuggled = head(target, 'host: x', json, `content-length: ${body.length}`) + body

/** A request to create_subtopics with these framing headers, followed by `after`. It does not ask to close: a server that goes on reading would answer more. */
const framed = (headers: string[], after: string) => head(target, 'host: x', json, ...headers) + after
const asChunks = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`

/** Two readers of these bytes could disagree where the request ends. */
export const framing = [
  ...ending(400, 'invalid_input', {
    'CL.TE: both lengths given': framed(['content-length: 6', 'transfer-encoding: chunked'], `0\r\n\r\n${smuggled}`),
    'TE.CL: both lengths given, the other way': framed(
      ['transfer-encoding: chunked', 'content-length: 4'],
      `5c\r\n${smuggled}\r\n0\r\n\r\n`,
    ),
    'CL.0 with chunks': framed(['content-length: 0', 'transfer-encoding: chunked'], asChunks + smuggled),
    'TE.TE: a coding nobody knows after chunked': framed(
      ['transfer-encoding: chunked', 'transfer-encoding: cow'],
      asChunks + smuggled,
    ),
    'TE.TE: xchunked': framed(['transfer-encoding: xchunked'], asChunks + smuggled),
    'TE.TE: identity beside chunked': framed(['transfer-encoding: chunked, identity'], asChunks + smuggled),
    'TE.TE: a vertical tab before chunked': framed(['transfer-encoding: \x0bchunked'], asChunks + smuggled),
    'TE.TE: quoted': framed(['transfer-encoding: "chunked"'], asChunks + smuggled),
    'TE.TE: a space in the name': framed(['transfer-encoding : chunked'], asChunks + smuggled),
    'TE.TE: a leading space on the line':
      head(target, 'host: x', json, 'x: y', ' transfer-encoding: chunked') + asChunks + smuggled,
    'TE.TE: a bare LF before it': framed(['x: y\ntransfer-encoding: chunked'], asChunks + smuggled),
    'TE.TE: a bare CR before it': framed(['x: y\rtransfer-encoding: chunked'], asChunks + smuggled),
    'gzip as transfer coding': framed(['transfer-encoding: gzip'], asChunks + smuggled),
    'chunked in HTTP/1.0 with a length':
      head('POST /api/create_subtopics HTTP/1.0', json, 'content-length: 4', 'transfer-encoding: chunked') +
      asChunks +
      smuggled,
    'two equal Content-Lengths': framed(
      [`content-length: ${body.length}`, `content-length: ${body.length}`],
      body + smuggled,
    ),
    'two different Content-Lengths': framed(['content-length: 0', `content-length: ${smuggled.length}`], smuggled),
    'a list as Content-Length': framed([`content-length: ${body.length}, ${body.length}`], body + smuggled),
    'a negative Content-Length': framed(['content-length: -1'], body + smuggled),
    'a Content-Length with +': framed([`content-length: +${body.length}`], body + smuggled),
    'a Content-Length in hex': framed(['content-length: 0x14'], body + smuggled),
    'a Content-Length with a fraction': framed(['content-length: 20.0'], body + smuggled),
    'a Content-Length beyond 64 bits': framed(['content-length: 18446744073709551616'], body),
    'an empty Content-Length': framed(['content-length:'], body + smuggled),
    'a Content-Length with a space inside': framed(['content-length: 2 0'], body + smuggled),
    'a Content-Length with a space before the colon': framed(['content-length : 20'], body + smuggled),
    'a Content-Length with an underscore-free look-alike': framed(['content-length\x00: 20'], body + smuggled),
    'a chunk size that is no number': framed(['transfer-encoding: chunked'], `zz\r\n${body}\r\n0\r\n\r\n${smuggled}`),
    'a negative chunk size': framed(['transfer-encoding: chunked'], `-14\r\n${body}\r\n0\r\n\r\n${smuggled}`),
    'a chunk size with +': framed(['transfer-encoding: chunked'], `+14\r\n${body}\r\n0\r\n\r\n${smuggled}`),
    'a chunk size with 0x': framed(['transfer-encoding: chunked'], `0x14\r\n${body}\r\n0\r\n\r\n${smuggled}`),
    'a chunk size beyond 64 bits': framed(
      ['transfer-encoding: chunked'],
      `fffffffffffffffff\r\n${body}\r\n0\r\n\r\n${smuggled}`,
    ),
    'an empty chunk size': framed(['transfer-encoding: chunked'], `\r\n${body}\r\n0\r\n\r\n${smuggled}`),
    'a space after the chunk size': framed(['transfer-encoding: chunked'], `14 \r\n${body}\r\n0\r\n\r\n${smuggled}`),
    'a chunk longer than its size': framed(['transfer-encoding: chunked'], `5\r\n${body}\r\n0\r\n\r\n${smuggled}`),
    'chunk lines that end in LF': framed(['transfer-encoding: chunked'], `14\n${body}\n0\n\n${smuggled}`),
    'a chunk extension with a bare LF': framed(['transfer-encoding: chunked'], `14;a\n${body}\r\n0\r\n\r\n${smuggled}`),
    'a broken trailer': framed(['transfer-encoding: chunked'], `14\r\n${body}\r\n0\r\nbad trailer\r\n\r\n${smuggled}`),
  }),
  ...ending(413, 'payload_too_large', {
    'a chunk extension without end': framed(
      ['transfer-encoding: chunked'],
      `14;a=${'b'.repeat(20_000)}\r\n${body}\r\n0\r\n\r\n${smuggled}`,
    ),
  }),
]

export const headers = [
  ...ending(400, 'invalid_input', {
    'no Host': head('GET /api/health HTTP/1.1', closing),
    'two Hosts': get('/api/health', 'host: evil'),
    'an empty Host': head('GET /api/health HTTP/1.1', 'host:', closing),
    'a Host with a path': head('GET /api/health HTTP/1.1', 'host: x/evil', closing),
    'a Host with a user': head('GET /api/health HTTP/1.1', 'host: x@evil', closing),
    'a Host with spaces': head('GET /api/health HTTP/1.1', 'host: x evil', closing),
    'a bare CR in a value': get('/api/health', 'x-a: b\rx-tenant: evil'),
    'a bare LF in a value': get('/api/health', 'x-a: b\nx-tenant: evil'),
    'NUL in a value': get('/api/health', 'x-a: b\0c'),
    'NUL in a name': get('/api/health', 'x\0a: b'),
    'a control character in a value': get('/api/health', 'x-a: b\x07c'),
    'a space before the colon': get('/api/health', 'x-a : b'),
    'a space inside a name': get('/api/health', 'x a: b'),
    'an empty name': get('/api/health', ': b'),
    'a line without a colon': get('/api/health', 'nonsense'),
    'a folded line': get('/api/health', 'x-a: b', ' c'),
    'a folded first line': head('GET /api/health HTTP/1.1', ' x-a: b', 'host: x', closing),
    'lines that end in LF only': get('/api/health').replaceAll('\r\n', '\n'),
  }),
  ...ending(431, 'headers_too_large', {
    'one value of 20 kB': get('/api/health', `x-a: ${'b'.repeat(20_000)}`),
    'one name of 20 kB': get('/api/health', `${'b'.repeat(20_000)}: x`),
    'a thousand headers': get('/api/health', ...Array.from({ length: 1_000 }, (_, n) => `x${n}: y`)),
  }),
  ...ending(403, 'csrf_rejected', {
    "a form of another site's page": post(
      '/api/create_subtopics',
      body,
      'sec-fetch-site: cross-site',
      'origin: http://a',
    ),
    "an image in another site's page": get('/api/subtopics?topic=x', 'sec-fetch-site: cross-site'),
  }),
  ...ending(417, 'expectation_failed', {
    'an Expect that nobody knows': get('/api/health', 'expect: 200-ok'),
    'two Expects': get('/api/health', 'expect: 100-continue', 'expect: money'),
  }),
  ...ending(415, 'unsupported_media_type', {
    'a body in gzip': `${head(target, 'host: x', json, closing, 'content-encoding: gzip', 'content-length: 2')}{}`,
  }),
]

export const targets = [
  ...ending(400, 'invalid_input', {
    'HTTP/0.9': 'GET /api/health\r\n\r\n',
    'the preface of HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'a TLS hello': Buffer.from('16030100a5010000a10303', 'hex'),
    'HTTP/9.9': head('GET /api/health HTTP/9.9', 'host: x', closing),
    'a method in lower case': head('get /api/health HTTP/1.1', 'host: x', closing),
    'a method nobody knows': head('STEAL /api/health HTTP/1.1', 'host: x', closing),
    'a target without a slash': head('GET api/health HTTP/1.1', 'host: x', closing),
    'another host in the target': head('GET http://evil.invalid/api/health HTTP/1.1', 'host: x', closing),
    'another host and a route in the target':
      head('POST http://evil.invalid/api/create_subtopics HTTP/1.1', 'host: x', json, closing, 'content-length: 2') +
      '{}',
    'a file in the target': head('GET file:///etc/passwd HTTP/1.1', 'host: x', closing),
    'a space in the target': get('/api/ health'),
    'NUL in the target': get('/api/health\0'),
    'up by an encoded slash, through a parameter': get('/api/images/..%2f..%2fmetrics'),
    'up by an encoded backslash, through a parameter': get('/api/images/..%5c..%5cmetrics'),
    '%2e%2e as a parameter': get('/api/images/%2e%2e'),
    'an overlong UTF-8 slash': get('/api%c0%afhealth'),
    'an overlong UTF-8 dot': get('/api/%c0%ae%c0%ae/metrics'),
    'half an escape': get('/api/health%'),
    'an escape that is none': get('/api/%zz'),
    'raw bytes that are no UTF-8': Buffer.from(get('/api/health\xff\xfe'), 'latin1'),
  }),
  ...ending(405, 'method_not_allowed', {
    'OPTIONS *': head('OPTIONS * HTTP/1.1', 'host: x', closing),
    CONNECT: head('CONNECT evil:443 HTTP/1.1', 'host: evil:443'),
    'CONNECT to a route': head('CONNECT /api/health HTTP/1.1', 'host: x'),
    TRACE: head('TRACE /api/health HTTP/1.1', 'host: x', closing),
    PROPFIND: head('PROPFIND /api/health HTTP/1.1', 'host: x', closing),
    'GET where it takes POST': get('/api/create_subtopics'),
  }),
  ...ending(404, 'not_found', {
    'two slashes at the start': get('//api/health'),
    'two slashes and a host': get('//evil.invalid/api/health'),
    'two slashes inside': get('/api//health'),
    'up from a route': get('/api/../metrics'),
    'up by %2e': get('/api/%2e%2e/metrics'),
    'up by %2e, doubly encoded': get('/api/%252e%252e/metrics'),
    'a backslash': get('/api\\health'),
    '%00 after a route': get('/api/health%00'),
    'a semicolon after a route': get('/api/health;x=y'),
    'a slash after a route': get('/api/health/'),
    'an upper-case route': get('/API/HEALTH'),
    'a hash and more': get(`/api/images/${'a'.repeat(64)}/x`),
  }),
  ...ending(431, 'headers_too_large', {
    'a target of 20 kB': get(`/api/${'a'.repeat(20_000)}`),
  }),
]
