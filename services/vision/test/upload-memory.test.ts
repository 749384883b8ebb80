import { once } from 'node:events'
import type { AddressInfo, Socket } from 'node:net'
import { connect } from 'node:net'
import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { HttpError } from '@knowalledge/service-kit'
import t from 'tap'
import { UploadBuffer, UploadMemory } from '../src/upload-memory.ts'
import { build, form, image } from './fixtures.ts'
import { solid } from './images.ts'

const mebibyte = 1024 * 1024

t.test(
  'unfinished uploads take no more than their bound: others get a 503 with Retry-After until they end',
  async (t) => {
    const { app, emulator } = await build(t, { UPLOAD_MEMORY_MEGABYTES: '32' })
    const accepted: Socket[] = []
    app.server.on('connection', (socket) => accepted.push(socket))
    await app.listen({ host: '127.0.0.1', port: 0 })
    const red = await solid('red')
    const large = form(image(Buffer.concat([red, Buffer.alloc(9 * mebibyte)])))
    const unfinished = large.payload.subarray(0, 8 * mebibyte)
    const head = `POST ${large.url} HTTP/1.1\r\nhost: x\r\ncontent-type: ${large.headers['content-type']}\r\ncontent-length: ${large.payload.length}\r\n\r\n`
    const clients: Socket[] = []
    for (let n = 0; n < 3; n++) {
      const client = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
      clients.push(client)
      client.write(head)
      client.write(unfinished)
      while ((accepted[n]?.bytesRead ?? 0) < head.length + unfinished.length) await delay(5)
    }
    const refused = await app.inject(large)
    t.equal(refused.statusCode, 503)
    t.equal(refused.headers['retry-after'], '5')
    t.match(refused.json(), { error: 'overloaded', message: /uploads in progress fill.* Try again in 5 seconds\./ })
    t.equal(emulator.counters().admitted, 0)
    t.equal((await app.inject(form(image(red)))).statusCode, 200, 'there is room for a small one')
    for (const client of clients) client.destroy()
    await Promise.all(accepted.filter((socket) => !socket.closed).map((socket) => once(socket, 'close')))
    let after = await app.inject(large)
    while (after.statusCode === 503) after = await app.inject(large)
    t.equal(after.statusCode, 200)
  },
)

t.test('refused, broken and finished uploads give back what they held', async (t) => {
  const { app } = await build(t, { UPLOAD_MEMORY_MEGABYTES: '32', QUOTA_RPM: '100' })
  const red = await solid('red')
  const padded = (bytes: number) => image(Buffer.concat([red, Buffer.alloc(bytes)]))
  const broken = form(padded(9 * mebibyte))
  for (let round = 0; round < 4; round++) {
    t.equal((await app.inject(form(padded(11 * mebibyte)))).statusCode, 413)
    t.equal((await app.inject({ ...broken, payload: broken.payload.subarray(0, -100) })).statusCode, 400)
    t.equal((await app.inject(form(padded(9 * mebibyte), padded(9 * mebibyte)))).statusCode, 400)
    t.equal((await app.inject(form(padded(9 * mebibyte + round)))).statusCode, 200)
  }
})

t.test('an upload gives its memory back before Gemini answers', async (t) => {
  const { app, emulator } = await build(t, { UPLOAD_MEMORY_MEGABYTES: '32', GEMINI_TIMEOUT_MS: '2000' })
  emulator.faults.add({ kind: 'hang', times: 4 })
  const red = await solid('red')
  const replies = []
  for (let n = 0; n < 4; n++) {
    const reply = app.inject(form(image(Buffer.concat([red, Buffer.alloc(9 * mebibyte + n)]))))
    replies.push(reply)
    while (emulator.calls().length <= n && (await Promise.race([reply, delay(5)])) === undefined);
  }
  t.same(
    (await Promise.all(replies)).map(({ statusCode }) => statusCode),
    [504, 504, 504, 504],
  )
})

t.test('an upload that comes a byte at a time is put together', async (t) => {
  const { app, emulator } = await build(t)
  const { payload, ...request } = form(image(await solid('red')))
  const bytes = Readable.from(Array.from(payload, (byte) => Buffer.from([byte])))
  t.equal((await app.inject({ ...request, payload: bytes })).statusCode, 200)
  t.match(emulator.calls(), [{ pictures: [{ byteLength: Number }] }])
})

t.test('blocks go from upload to upload, and a full memory is logged once a second', async (t) => {
  const lines: object[] = []
  const memory = new UploadMemory(3 * 65_536, { warn: (line: object) => void lines.push(line) })
  const [one, other] = [new UploadBuffer(memory), new UploadBuffer(memory)]
  const bytes = Buffer.from(Array.from({ length: 150_000 }, (_, n) => n % 251))
  one.append(bytes.subarray(0, 65_536))
  one.append(bytes.subarray(65_536, 65_537))
  one.append(bytes.subarray(65_537))
  t.same(Buffer.concat(one.content), bytes)
  t.equal(memory.heldBytes, 3 * 65_536)
  t.throws(() => other.append(Buffer.alloc(1)), HttpError)
  t.throws(() => other.append(Buffer.alloc(1)), HttpError)
  t.same(lines, [{ max_bytes: 3 * 65_536 }])
  one.replaceBy(65_537)
  one.replaceBy(300_000)
  t.equal(memory.heldBytes, 2 * 65_536)
  other.append(bytes.subarray(0, 65_536))
  t.same(Buffer.concat(other.content), bytes.subarray(0, 65_536))
  one.release()
  one.release()
  t.equal(memory.heldBytes, 65_536)
  other.release()
  t.same([memory.heldBytes, other.content], [0, []])
})
