import sharp from 'sharp'
import t from 'tap'
import { fleetForTest, post } from './fleet.ts'

const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'

t.test('one completion line a request says what happened, and no secret is in any line', async (t) => {
  const secrets = { GEMINI_API_KEY: 'secret-api-key-1', ADMIN_TOKEN: 'secret-admin-token-2' }
  const { gateway, text, vision, imageGeneration } = await fleetForTest(t, { env: { ...secrets, LOG_LEVEL: 'trace' } })
  const authorization = 'Bearer secret-credential-3'
  const picture = await sharp({ create: { width: 90, height: 90, channels: 3, background: 'teal' } })
    .png()
    .toBuffer()

  const asked = await fetch(`${gateway.url}/api/create_subtopics`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      authorization,
      cookie: 'session=secret-4',
      'x-api-key': 'secret-5',
      traceparent,
      'x-request-id': 'asked-1',
    },
    body: JSON.stringify({ topic: 'Light' }),
  })
  t.equal(asked.status, 200)
  const form = new FormData()
  form.append('image', new Blob([picture]), 'photo.png')
  t.equal(
    (await fetch(`${gateway.url}/api/image2topic`, { method: 'POST', body: form, headers: { authorization } })).status,
    200,
  )
  const drawn = await post(`${gateway.url}/api/generate_image`, { prompt: 'A leaf' })
  t.equal(
    (await fetch(`${gateway.url}/api/admin/cache/invalidate`, { method: 'POST', headers: { authorization } })).status,
    401,
  )
  for (const { url } of [gateway, ...text, vision, imageGeneration]) await (await fetch(`${url}/metrics`)).text()
  const processes = [gateway, ...text, vision, imageGeneration]
  for (const running of processes) await running.stop()

  const lines = processes.flatMap((running) => running.output().trim().split('\n'))
  const logged = lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  const completed = logged.filter((line) => line.request_id === 'asked-1' && line.msg === 'request completed')
  const about = {
    operation: 'create_subtopics',
    method: 'POST',
    status: 200,
    cache: 'miss',
    trace_id: traceparent.slice(3, 35),
  }
  t.match(completed, [
    { service: 'gateway', ...about },
    { service: 'text-generation', ...about, quota: 'granted', gemini_calls: 1, model: 'gemini-3.8-flash' },
  ])
  t.ok(Number(completed[1]?.tokens) > 0)

  const output = lines.join('\n')
  const pictures = [picture.toString('base64'), String(drawn.body.image)].map((base64) => base64.slice(100, 160))
  for (const secret of [...Object.values(secrets), 'secret-credential-3', 'secret-4', 'secret-5', ...pictures]) {
    t.notOk(output.includes(secret), `${secret} is in no line`)
  }
})
