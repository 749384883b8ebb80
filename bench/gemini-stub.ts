// Gemini, reduced to one answer: fifteen subtopics, 20 ms after each request, whatever is asked. HOST and PORT come from the
// environment.
import { createServer } from 'node:http'

const { HOST = '127.0.0.1', PORT } = process.env
const latencyMs = 20
const subtopics = [
  'Light-dependent reactions in the thylakoid membrane',
  'The Calvin cycle and carbon fixation',
  'Structure of the chloroplast',
  'Chlorophyll and accessory pigments',
  'Photosystem II and the splitting of water',
  'Photosystem I and the reduction of NADP',
  'Electron transport chain and proton gradient',
  'ATP synthase and chemiosmosis',
  'Rubisco and photorespiration',
  'C4 plants and spatial separation',
  'CAM plants in dry climates',
  'Limiting factors: light, temperature, carbon dioxide',
  'Stomata and gas exchange in leaves',
  'Evolution of oxygenic cyanobacteria',
  'Artificial leaves and solar fuels',
]
const answer = JSON.stringify({
  candidates: [
    { content: { parts: [{ text: JSON.stringify({ subtopics }) }], role: 'model' }, finishReason: 'STOP', index: 0 },
  ],
  usageMetadata: { promptTokenCount: 212, candidatesTokenCount: 188, totalTokenCount: 400 },
  modelVersion: 'gemini-stub',
  responseId: 'stub',
})
const headers = {
  'content-type': 'application/json; charset=utf-8',
  'content-length': String(Buffer.byteLength(answer)),
}

createServer((request, response) => {
  request.resume().once('end', () => setTimeout(() => response.writeHead(200, headers).end(answer), latencyMs))
}).listen(Number(PORT), HOST)
