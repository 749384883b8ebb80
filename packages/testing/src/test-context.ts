/** The part of a tap test that the fixtures need. */
export interface TestContext {
  teardown(fn: () => unknown): void
}
