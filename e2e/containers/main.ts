import { askSomethingNew, assertAnswered } from './client.ts'
import { checkContract, checkHardening, checkMemory, checkPrometheus } from './contract.ts'
import { buildImages, compose, eventually, prepareEngine, type ServiceName } from './docker.ts'
import { checkFaults, checkRedis } from './faults.ts'
import { Report } from './report.ts'
import { checkScaling } from './scaling.ts'

/**
 * `npm run test:containers`: builds the images, starts what docker-compose.yml says, and tries it from outside. Ends with a table of
 * what was tried, and with 1 when something failed. `-- --keep` leaves it running.
 */
const apps: ServiceName[] = ['gateway', 'text-generation', 'vision', 'image-generation', 'emulator']
const others: ServiceName[] = ['nginx', 'redis', 'redis-cache', 'prometheus']
const report = new Report()

const { isDebian } = prepareEngine()
await compose('down', '-v', '--remove-orphans') // what an earlier run left
await report.check('images', 'all five are built', () => buildImages(apps))
if (!report.hasPassed) process.exit(1)
try {
  await report.check('compose', 'up --profile demo, every container is healthy', async () => {
    // Debian has no Grafana.
    await compose('up', '-d', '--no-build', '--wait', ...(isDebian ? [...apps, ...others] : []))
    await eventually(async () => assertAnswered(await askSomethingNew()))
  })
  if (report.hasPassed) {
    await checkContract(report)
    await checkHardening(report, [...apps, ...others])
    await checkPrometheus(report, { gateway: 1, 'text-generation': 3, vision: 3, 'image-generation': 3 })
    await checkScaling(report)
    await checkFaults(report)
    await checkRedis(report)
    await checkMemory(report, [...apps, ...others])
  }
} finally {
  if (!process.argv.includes('--keep')) await compose('down', '-v', '--remove-orphans')
}
console.log(`\n${report.table}`)
process.exitCode = report.hasPassed ? 0 : 1
