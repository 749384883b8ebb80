/** Texts made to harm whoever parses them as JSON, by name. Where `field` must be a text each is a 400, never a 5xx. */
export function hostileJson(field: string): [name: string, body: string][] {
  const lists = '['.repeat(100_000)
  return [
    ['__proto__', `{"${field}":"Light","__proto__":{"polluted":true}}`],
    ['__proto__ in escapes', `{"${field}":"Light","\\u005f_proto__":{"polluted":true}}`],
    ['__proto__ far inside', `{"${field}":"Light","a":[{"b":{"__proto__":{"polluted":true}}}]}`],
    ['constructor.prototype', `{"${field}":"Light","constructor":{"prototype":{"polluted":true}}}`],
    ['100,000 lists in each other', `{"${field}":${lists}${']'.repeat(100_000)}}`],
    ['30,000 objects in each other', `{"${field}":${'{"a":'.repeat(30_000)}1${'}'.repeat(30_000)}}`],
    ['lists that do not end', `{"${field}":${lists}`],
    ['nothing but lists', lists + ']'.repeat(100_000)],
  ]
}
