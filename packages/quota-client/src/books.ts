import { Ledger } from './ledger.ts'

/** The ledgers of one instance: the pool's, and one for each tenant that it served lately. */
export class Books {
  readonly pool = new Ledger()
  readonly #tenants = new Map<string, Ledger>()
  /** The number of the report that will carry what is used without Redis from now on. */
  nextReport = 1

  get tenants(): ReadonlyMap<string, Ledger> {
    return this.#tenants
  }

  get hasUseAlone(): boolean {
    return this.pool.hasUseAlone
  }

  tenant(id: string): Ledger {
    let ledger = this.#tenants.get(id)
    if (ledger === undefined) {
      ledger = new Ledger()
      this.#tenants.set(id, ledger)
    }
    return ledger
  }

  forgetIdleTenants(bucket: number): void {
    for (const [id, ledger] of this.#tenants) if (ledger.isEmpty(bucket)) this.#tenants.delete(id)
  }
}
