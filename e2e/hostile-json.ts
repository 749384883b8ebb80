import { gzipSync } from 'node:zlib'
import { hostileImages } from '@knowalledge/testing'
import { ending, get, post } from './hostile-request.ts'

const subtopics = '/api/create_subtopics'
const json = 'content-type: application/json'
const ask = (body: string | Buffer, type = 'application/json') => post(subtopics, body, `content-type: ${type}`)
const present = (fields: object) => {
  const whole = { topic: 'x', educationLevel: 'x', levelOfDetail: 'x', focus: ['x'], ...fields }
  return post('/api/create_presentation', JSON.stringify(whole), json)
}
const draw = (body: object) => post('/api/generate_image', JSON.stringify(body), json)
const deep = (levels: number) => '['.repeat(levels) + ']'.repeat(levels)
const gzipBomb = gzipSync(`{"topic":"${'x'.repeat(16 * 1024 * 1024)}"}`)

export const queries = [
  ...ending(400, 'invalid_input', {
    'no topic': get('/api/subtopics'),
    'an empty topic': get('/api/subtopics?topic='),
    'a topic of spaces': get('/api/subtopics?topic=%20%09'),
    'two topics': get('/api/subtopics?topic=a&topic=b'),
    'a list as topic': get('/api/subtopics?topic[]=a'),
    'an object as topic': get('/api/subtopics?topic[a]=b'),
    'the prototype as topic': get('/api/subtopics?__proto__[topic]=a&constructor[prototype][topic]=a'),
    'a topic of 501 characters': get(`/api/subtopics?topic=${'a'.repeat(501)}`),
    'a topic that is no UTF-8': get('/api/subtopics?topic=%ff%fe'),
    'a topic of half an escape': get('/api/subtopics?topic=%e'),
    'a surrogate in UTF-8': get('/api/subtopics?topic=%ed%a0%80'),
    'an overlong slash': get('/api/subtopics?topic=%c0%af'),
    'four thousand parameters': get(`/api/subtopics?${'a&'.repeat(4_000)}`),
    'two languages': get('/api/subtopics?topic=a&language=en&language=es'),
    'half a question': get('/api/explanation?topic=a'),
    'a hash that is none': get('/api/images/nothing'),
    'a hash in upper case': get(`/api/images/${'A'.repeat(64)}`),
    '%00 as a hash': get('/api/images/%00'),
  }),
]

export const bodies = [
  ...ending(400, 'invalid_input', {
    nothing: ask(''),
    'white space': ask(' \r\n\t'),
    'cut short': ask('{"topic":"x"'),
    'two documents': ask('{"topic":"x"}{"topic":"y"}'),
    NaN: ask('{"topic":NaN}'),
    'a comma at the end': ask('{"topic":"x",}'),
    'single quotes': ask("{'topic':'x'}"),
    'a comment': ask('{"topic":"x"/**/}'),
    'a raw line break in a text': ask('{"topic":"x\ny"}'),
    'UTF-16, little-endian': ask(Buffer.from('\ufeff{"topic":"x"}', 'utf16le')),
    'UTF-16, big-endian': ask(Buffer.from('\ufeff{"topic":"x"}', 'utf16le').swap16()),
    'UTF-16 without a mark': ask(Buffer.from('{"topic":"x"}', 'utf16le')),
    'Latin-1': ask(Buffer.from('{"topic":"caf\xe9"}', 'latin1')),
    'overlong UTF-8': ask(Buffer.from('{"topic":"\xc0\xaf"}', 'latin1')),
    'a lone surrogate': ask('{"topic":"\\ud800"}'),
    'a lone surrogate in a list': present({ focus: ['x', '\udfff'] }),
    'a hundred thousand levels': ask(`{"topic":${deep(100_000)}}`),
    'a hundred thousand levels that never end': ask('['.repeat(100_000)),
    'a hundred thousand objects': ask(`${'{"topic":'.repeat(25_000)}1${'}'.repeat(25_000)}`),
    __proto__: ask('{"topic":"x","__proto__":{"admin":true}}'),
    '__proto__ in escapes': ask('{"topic":"x","\\u005f\\u005fproto\\u005f\\u005f":{"admin":true}}'),
    '__proto__ deep inside': ask('{"topic":"x","a":[{"b":{"__proto__":null}}]}'),
    'constructor.prototype': ask('{"topic":"x","constructor":{"prototype":{"admin":true}}}'),
    'a list as body': ask('[{"topic":"x"}]'),
    'a text as body': ask('"topic"'),
    'null as body': ask('null'),
    'a number as body': ask('1e999'),
    'a number as topic': ask('{"topic":1}'),
    'a number beyond all as topic': ask(`{"topic":1e999,"x":${'9'.repeat(10_000)}}`),
    'null as topic': ask('{"topic":null}'),
    'an object as topic': ask('{"topic":{"toString":"x"}}'),
    'a list as topic': ask('{"topic":["x"]}'),
    'true as topic': ask('{"topic":true}'),
    'a topic of spaces': ask('{"topic":"\\u00a0\\u3000 "}'),
    'a topic of 501 characters': ask(JSON.stringify({ topic: 'x'.repeat(501) })),
    'a topic of 200 kB': ask(JSON.stringify({ topic: 'x'.repeat(200_000) })),
    'a language of 101 characters': ask(JSON.stringify({ topic: 'x', language: 'x'.repeat(101) })),
    'a text as focus': present({ focus: 'x' }),
    'an empty focus': present({ focus: [] }),
    'a focus of 21': present({ focus: Array(21).fill('x') }),
    'a focus of twenty thousand': present({ focus: Array(20_000).fill('x') }),
    'a focus of lists': present({ focus: [['x']] }),
    'an object as educationLevel': present({ educationLevel: {} }),
    'a levelOfDetail of 101 characters': present({ levelOfDetail: 'x'.repeat(101) }),
    'an empty prompt': draw({ prompt: ' ' }),
    'a prompt of 501 characters': draw({ prompt: 'x'.repeat(501) }),
    'no prompt': draw({}),
  }),
  ...ending(413, 'payload_too_large', {
    'JSON of 257 KiB': ask(JSON.stringify({ topic: 'x', other: 'x'.repeat(257 * 1024) })),
    'JSON of 8 MiB': ask(JSON.stringify({ topic: 'x', other: 'x'.repeat(8 * 1024 * 1024) })),
    'JSON of 257 KiB in chunks': Buffer.from(
      `POST /api/create_subtopics HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n${`4000\r\n${' '.repeat(0x4000)}\r\n`.repeat(17)}0\r\n\r\n`,
    ),
  }),
  ...ending(415, 'unsupported_media_type', {
    'no content type': post(subtopics, '{"topic":"x"}'),
    text: ask('{"topic":"x"}', 'text/plain'),
    'XML with an entity bomb': ask('<!DOCTYPE a [<!ENTITY b "b"><!ENTITY c "&b;&b;">]><a>&c;</a>', 'application/xml'),
    'a form': ask('topic=x', 'application/x-www-form-urlencoded'),
    'a multipart form': ask('--x--', 'multipart/form-data; boundary=x'),
    'nonsense as content type': ask('{"topic":"x"}', '////;;;='),
    'an image': ask(hostileImages.png(1, 1), 'image/png'),
    'a gzip bomb': post(subtopics, gzipBomb, json, 'content-encoding: gzip'),
  }),
]
