import { spawnSync } from 'node:child_process'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { TestContext } from '@knowalledge/testing'
import type { IHTTPRoute } from '@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1/HTTPRoute'
import type { IIngress } from 'kubernetes-models/networking.k8s.io/v1/Ingress'
import type { INetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy'
import type { IConfigMap } from 'kubernetes-models/v1/ConfigMap'
import type { IPodTemplateSpec } from 'kubernetes-models/v1/PodTemplateSpec'
import type { IService } from 'kubernetes-models/v1/Service'
import { parseAllDocuments } from 'yaml'

const root = fileURLToPath(new URL('..', import.meta.url))

export interface KubernetesObject {
  apiVersion: string
  kind: string
  metadata: { name: string; namespace?: string; labels?: Record<string, string>; annotations?: Record<string, string> }
}

/** A Deployment or a StatefulSet. */
export interface Workload extends KubernetesObject {
  spec: { selector: { matchLabels: Record<string, string> }; template: IPodTemplateSpec }
}
export type Service = KubernetesObject & IService
export type ConfigMap = KubernetesObject & IConfigMap
export type NetworkPolicy = KubernetesObject & INetworkPolicy
export type Ingress = KubernetesObject & IIngress
export type HttpRoute = KubernetesObject & IHTTPRoute

/** What `kubectl apply -k` would send for an overlay, by the Kustomize that kubectl has built in. */
export function render(overlay: string): KubernetesObject[] {
  // scripts/install.mjs puts one there where the machine has none.
  const path = [join(root, 'node_modules/.cache/kubectl'), process.env.PATH].join(delimiter)
  const result = spawnSync('kubectl', ['kustomize', `k8s/overlays/${overlay}`], {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, PATH: path },
  })
  if (result.error) throw result.error
  if (result.status !== 0 || result.stderr) throw new Error(`kubectl kustomize: ${result.stderr}`)
  return parseAllDocuments(result.stdout).map((document) => document.toJS() as KubernetesObject)
}

/** The module that has the class and the interface of a kind. */
function moduleOf({ apiVersion, kind }: KubernetesObject): string {
  const [group = ''] = apiVersion.split('/')
  const extensions: Record<string, string> = {
    'monitoring.coreos.com': '@kubernetes-models/prometheus-operator',
    'gateway.networking.k8s.io': '@kubernetes-models/gateway-api',
  }
  return `${extensions[group] ?? 'kubernetes-models'}/${apiVersion}/${kind}`
}

/** Checks an object against Kubernetes' schema: types, enums, formats, what is required. Throws what is wrong. */
export async function validate(object: KubernetesObject): Promise<void> {
  const models = (await import(moduleOf(object))) as Record<string, new (data: object) => { validate(): void }>
  const Model = models[object.kind]
  if (!Model) throw new Error(`no schema of ${object.apiVersion} ${object.kind}`)
  new Model(object).validate()
}

/**
 * The compiler's complaints about fields that Kubernetes does not know, which its schemas let pass: each object as a
 * literal of its interface, where TypeScript takes no excess property at any depth.
 */
export async function unknownFields(t: TestContext, objects: KubernetesObject[]): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'knowalledge-k8s-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const lines = objects.map((object, index) => {
    const type = `import('${moduleOf(object)}').I${object.kind}`
    return `// ${object.kind} ${object.metadata.name}\nexport const object${index}: ${type} = ${JSON.stringify(object, null, 1)}`
  })
  await writeFile(join(directory, 'package.json'), '{"type":"module"}')
  await writeFile(join(directory, 'objects.ts'), lines.join('\n'))
  await symlink(join(root, 'node_modules'), join(directory, 'node_modules'))
  const flags = ['--noEmit', '--strict', '--skipLibCheck', '--module', 'nodenext', '--types', 'node', 'objects.ts']
  // Without what tap has every Node that is started load.
  const command = ['-u', 'NODE_OPTIONS', 'tsc', ...flags]
  const { stdout, stderr, status, error } = spawnSync('env', command, { cwd: directory, encoding: 'utf8' })
  if (error) throw error
  if ((status === 0) !== (stdout === '')) throw new Error(`tsc ended with ${status}: ${stderr}`)
  return stdout
}
