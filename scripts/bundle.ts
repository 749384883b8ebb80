import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build, type Plugin } from 'esbuild'
import { loadAssets } from '../web/assets.ts'
import { serializeAssets } from '../web/built-assets.ts'

/**
 * `node scripts/bundle.ts DIRECTORY` writes DIRECTORY/<app> for each app: its bundle with source maps, and the files that it
 * reads while it runs. The Dockerfile makes the images from them.
 */
const root = fileURLToPath(new URL('..', import.meta.url))
const decoder = 'services/vision/src/decoder-process'
const sharpPackages = packageOf('services/vision', 'sharp').replace(/\/sharp$/, '') // with those that it depends on

const apps: Record<string, { entryPoints: Record<string, string>; files?: string[] }> = {
  gateway: {
    entryPoints: { server: 'gateway/src/server.ts', keys: 'gateway/src/cli/keys.ts' },
    files: [`${packageOf('gateway', '@fastify/swagger-ui')}/static`],
  },
  'text-generation': { entryPoints: { server: 'services/text-generation/src/server.ts' } },
  vision: {
    entryPoints: { server: 'services/vision/src/server.ts', [decoder]: `${decoder}.ts` },
    files: [sharpPackages],
  },
  'image-generation': { entryPoints: { server: 'services/image-generation/src/server.ts' } },
  emulator: {
    entryPoints: { server: 'packages/gemini-emulator/src/server.ts' },
    files: [
      sharpPackages,
      `${packageOf('packages/gemini-emulator', 'dejavu-fonts-ttf/package.json')}/ttf/DejaVuSans-Bold.ttf`,
    ],
  },
}

/** For CommonJS modules in an ESM bundle. */
const banner = `import { createRequire as requireOfBundle } from 'node:module'
const require = requireOfBundle(import.meta.url), bundleDirectory = import.meta.dirname`

/** A bundled module still reads the files beside its source: they keep their places, below the bundle's directory. */
const ownPaths: Plugin = {
  name: 'own-paths',
  setup({ onLoad }) {
    onLoad({ filter: /\.(c?js|ts)$/ }, ({ path }) => {
      const source = readFileSync(path, 'utf8')
      if (!/\bimport\.meta\.url\b|\b__dirname\b/.test(source)) return undefined
      const place = placeOf(path)
      const contents = source
        .replaceAll(/(new URL\('[^']*)\.ts', import\.meta\.url/g, "$1.js', import.meta.url") // another entry point
        .replaceAll('import.meta.url', `new URL(${JSON.stringify(place)}, import.meta.url).href`)
        .replaceAll(/\b__dirname\b/g, `(bundleDirectory + ${JSON.stringify(`/${dirname(place)}`)})`)
      return { contents, loader: path.endsWith('.ts') ? 'ts' : 'js' }
    })
  },
}

const [, , directory] = process.argv
if (directory === undefined) throw new Error('Name the directory to write to: node scripts/bundle.ts DIRECTORY')
await Promise.all(Object.keys(apps).map((app) => bundle(app, resolve(directory, app))))

async function bundle(app: string, outdir: string): Promise<void> {
  const { entryPoints = {}, files = [] } = apps[app] ?? {}
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints,
    outdir,
    bundle: true,
    splitting: true, // what only tracing needs is loaded with it
    format: 'esm',
    platform: 'node',
    target: 'node24',
    minifySyntax: true, // names and lines stay, for stack traces and profiles
    sourcemap: true,
    metafile: true,
    external: ['sharp', 'pino-pretty'], // sharp is native; pino-pretty is for a developer's terminal
    alias: { '@knowalledge/web': join(root, 'web/built-assets.ts') },
    plugins: [ownPaths],
    banner: { js: banner },
    logLevel: 'warning',
  })
  writeFileSync(join(outdir, 'package.json'), JSON.stringify({ name: `@knowalledge/${app}`, type: 'module' }))
  const packages = new Set(Object.keys(metafile.inputs).map((input) => input.split('/src/', 1)[0] ?? ''))
  const scripts = [...packages].map((folder) => join(root, folder, 'lua')).filter((folder) => existsSync(folder))
  for (const file of [...files, ...scripts]) {
    const place = join(outdir, placeOf(file))
    mkdirSync(dirname(place), { recursive: true })
    execFileSync('cp', ['-RL', file, place]) // cpSync keeps links inside of a folder, and pnpm's are absolute
  }
  if (app !== 'gateway') return
  mkdirSync(join(outdir, 'web'))
  writeFileSync(join(outdir, 'web/assets.json'), serializeAssets(loadAssets()))
}

/** Where a file of the workspace or of pnpm's store is below a bundle's directory. */
function placeOf(file: string): string {
  return relative(root, file).replace(/^node_modules\/\.pnpm\/[^/]+\//, '')
}

/** The folder of a package that `from` depends on. */
function packageOf(from: string, name: string): string {
  const file = createRequire(join(root, from, 'package.json')).resolve(name)
  return file.replace(/(.*\/node_modules\/(@[^/]+\/)?[^/]+)\/.*/, '$1')
}
