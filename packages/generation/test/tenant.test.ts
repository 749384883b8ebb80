import type { Tenant } from '@knowalledge/quota-client'
import t from 'tap'
import { readTenant, writeTenant } from '../src/gateway-headers.ts'

t.test('a tenant arrives as it was sent', async (t) => {
  const table: [text: string, tenant: Tenant][] = [
    ['school-a', { id: 'school-a', limits: {} }],
    ['school-a;rpm=5;tpd=100000', { id: 'school-a', limits: { rpm: 5, tpd: 100_000 } }],
    ['0.x_y-z;rpm=0;rpd=1;tpm=2;tpd=1000000000000', { id: '0.x_y-z', limits: { rpm: 0, rpd: 1, tpm: 2, tpd: 1e12 } }],
    ['a'.repeat(64), { id: 'a'.repeat(64), limits: {} }],
  ]
  for (const [text, tenant] of table) {
    t.equal(writeTenant(tenant), text)
    t.same(readTenant(text), tenant)
  }
  t.equal(readTenant(undefined), undefined)
})

t.test('any other text is bad input', async (t) => {
  const ids = ['', ' ', 'School', '-a', '.a', '_a', 'a b', 'a,b', 'a/b', 'ä', 'a'.repeat(65), '"a"', ';rpm=1']
  const limits = [
    'rpm',
    'rpm=',
    'rpm=-1',
    'rpm=1.5',
    'rpm=01',
    'rpm=1e3',
    'rpm=1000000000001',
    'rpm="1"',
    'rps=1',
    'RPM=1',
  ]
  const shapes = [
    'a;',
    'a;;rpm=1',
    'a; rpm=1',
    'a;rpm=1 ',
    'a;rpm=1;rpm=2',
    'a;rpm=1,b;rpm=2',
    'a;rpm=1\n',
    'a;constructor=1',
  ]
  for (const text of [...ids, ...limits.map((limit) => `a;${limit}`), ...shapes]) {
    t.throws(() => readTenant(text), { code: 'invalid_input', message: /X-Tenant must be of the form/ }, text)
  }
})
