import htm from 'htm'
import { type ComponentChild, h } from 'preact'

/** Markup in template strings: JSX without a compiler. */
export const html = (htm as unknown as typeof htm.default).bind(h) as (
  strings: TemplateStringsArray,
  ...values: unknown[]
) => ComponentChild
