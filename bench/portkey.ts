// Portkey's open-source gateway. PORT comes from the environment: its own program takes it from the command line only.
process.argv.push(`--port=${process.env.PORT}`, '--headless')
// @ts-expect-error It has no types.
await import('@portkey-ai/gateway/build/start-server.js')
