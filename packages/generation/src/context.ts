import { clientSignal } from '@knowalledge/service-kit'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { readClient } from './gateway-headers.ts'
import { readTenant } from './tenant.ts'
import type { RunContext } from './types.ts'

/** The run context of a request. Throws HttpError `invalid_input` for a malformed `X-Tenant` or `X-Client`. */
export function contextOf(request: FastifyRequest, reply: FastifyReply): RunContext {
  const tenant = readTenant(request.headers['x-tenant'])
  if (tenant) request.outcome.tenant = tenant.id
  const client = readClient(request, tenant)
  return { signal: clientSignal(reply), log: request.log, outcome: request.outcome, tenant, client }
}
