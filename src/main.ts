import { availableParallelism } from 'node:os';
import { config as readDotenv } from 'dotenv';
import { cannotListen } from './cannot-listen.ts';
import { movedFaults } from './config/moved.ts';
import { type Config, ConfigError, readConfig } from './config.ts';
import { createSystemClock } from './shared/clock.ts';
import { createLogger, type Logger } from './shared/logger.ts';
import { startReport } from './start-report.ts';
import { redactSecretsOf, startUnderstudy, type Understudy } from './understudy.ts';
import type { Hub } from './workers/hub.ts';
import type { Orders } from './workers/primary.ts';

/** A little less than the platform's own patience (`maxShutdownDelaySeconds` in render.yaml). */
const DRAIN_LIMIT_MS = 290_000;
/** Workers end by themselves at the limit; one that does not is killed. */
const KILL_LIMIT_MS = DRAIN_LIMIT_MS + 5000;
/** How long kept connections may still bring a request each; at a terminal nobody wants to wait. */
const FAREWELL_MS = { SIGTERM: 2000, SIGINT: 0 };

/** On the command line of a worker, which its primary starts. */
const AS_WORKER = '--worker';

type Environment = Record<string, string | undefined>;

const clock = createSystemClock();
const mode: Config['mode'] = process.argv.includes('--demo') ? 'demo' : 'live';

await (process.argv.includes(AS_WORKER) ? work() : run());

/** Serves, or leads the workers that do. */
async function run(): Promise<void> {
  const demo = mode === 'demo' ? await startDemo() : null;
  const read = () => demo?.environment ?? realEnvironment();
  const environment = read();
  const config = readSettings(environment);
  let redact = redactSecretsOf(config);
  const log = createLogger({ level: config.logLevel, redact: (text) => redact(text) });
  surfaceBugs(log);
  report(config);
  const orders = { workers: workersOf(config), settings: environment };
  const readAgain = () => {
    const settings = read();
    const changed = readConfig(settings, mode);
    const moved = movedFaults(config, changed);
    if (moved.length > 0) throw new ConfigError(moved);
    redact = redactSecretsOf(changed);
    log.level = changed.logLevel;
    report(changed);
    return { workers: workersOf(changed), settings };
  };
  const port =
    orders.workers === 1
      ? await serveAlone(environment, config, log)
      : await lead(orders, log, readAgain);
  const { pid } = process;
  log.info({ port, host: config.host, mode, workers: orders.workers, pid }, 'listening');
  demo?.show(`http://127.0.0.1:${port}`);
}

function workersOf({ workers }: Config): number {
  return workers === 'auto' ? availableParallelism() : workers;
}

/** The stand-ins are only loaded when they are wanted. */
async function startDemo() {
  const { startDemoProviders } = await import('./standin/demo/demo.ts');
  return startDemoProviders({ clock, environment: process.env, output: process.stdout });
}

/** As it is now: what `.env` says may change, and goes to this process only when it serves. */
function realEnvironment(): Environment {
  const environment = { ...process.env };
  readDotenv({ quiet: true, processEnv: environment });
  return environment;
}

function readSettings(environment: Environment): Config {
  try {
    return readConfig(environment, mode);
  } catch (error) {
    if (error instanceof ConfigError) fail(error.message);
    throw error;
  }
}

/** For whoever starts it; on standard output there are structured lines alone. */
function report(config: Config): void {
  if (config.logLevel === 'silent') return;
  process.stderr.write(
    startReport(config)
      .map((line) => `${line}\n`)
      .join(''),
  );
}

async function serveAlone(environment: Environment, config: Config, log: Logger): Promise<number> {
  const understudy = await serve(environment, config, log, null);
  const stop = stopOnce(understudy, log);
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      const isFirst = stop({ signal }, FAREWELL_MS[signal]);
      if (!isFirst) process.exit(1);
    });
  }
  process.on('SIGHUP', () => log.info('SIGHUP: one process alone has nothing to roll, it goes on'));
  return understudy.port;
}

/** The process that serves nobody itself. None of this is loaded where one process does it all. */
async function lead(orders: Orders, log: Logger, readAgain: () => Orders): Promise<number> {
  const { createPrimary } = await import('./workers/primary.ts');
  const { steer } = await import('./workers/steer.ts');
  const { serveWorkers } = await import('./sharing/workers/serve-workers.ts');
  const args = [...process.argv.slice(2), AS_WORKER];
  const primary = createPrimary({ clock, log, args, drainLimitMs: KILL_LIMIT_MS });
  const { keepDeparted } = await import('./monitor/departed.ts');
  serveWorkers(primary.desk, clock.now);
  keepDeparted(primary.desk.handle);
  const readOrders = () => {
    try {
      return readAgain();
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      log.error({ faults: error.faults }, 'the settings are at fault: nothing is restarted');
      return null;
    }
  };
  steer({ primary, log, readOrders, farewellMs: FAREWELL_MS, exit: process.exit });
  // Why it could not listen, the worker has said.
  return (await primary.start(orders)) ?? process.exit(1);
}

/** One of several that serve. What ends it is its primary's word, or its end. */
async function work(): Promise<void> {
  // Meant for the primary, but a terminal sends it to all.
  process.on('SIGHUP', () => {});
  const { joinPrimary } = await import('./workers/join.ts');
  const { hub, number, settings, onLeave } = joinPrimary(clock);
  const environment = (await settings()) as Environment;
  const config = readSettings(environment);
  const redact = redactSecretsOf(config);
  const log = createLogger({ level: config.logLevel, redact }).child({ worker: number });
  surfaceBugs(log);
  const stop = stopOnce(await serve(environment, config, log, hub), log);
  // A terminal sends them to all, some platforms too: each says the same as the primary's word.
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => stop({ signal }, FAREWELL_MS[signal]));
  }
  onLeave((why, farewellMs) => stop({ why }, farewellMs));
}

async function serve(
  environment: Environment,
  config: Config,
  log: Logger,
  hub: Hub | null,
): Promise<Understudy> {
  // Some that we use read it themselves, such as the address of a proxy.
  if (mode === 'live') Object.assign(process.env, environment);
  const surroundings = { clock, random: Math.random, log, measuresProcess: true, hub };
  return startUnderstudy(config, surroundings).catch((error: unknown) => {
    const why = cannotListen(error, config);
    if (why === null) throw error;
    return fail(redactSecretsOf(config)(why));
  });
}

/** Lets every answer out before the process ends. @returns whether it was the first to want that */
function stopOnce(understudy: Understudy, log: Logger) {
  let isStopping = false;
  return (reason: object, farewellMs: number): boolean => {
    if (isStopping) return false;
    isStopping = true;
    log.info(reason, 'stopping: no new connections, answers in flight go out');
    void understudy.stop(DRAIN_LIMIT_MS, farewellMs).then((endedByItself) => {
      log.info({ endedByItself }, 'stopped');
      process.exit(0);
    });
    return true;
  };
}

/**
 * Bugs that nobody caught are said with their stack, without any key. A promise that nobody looked
 * at belongs to one request, and the others go on; after anything else nothing can be relied on.
 */
function surfaceBugs(log: Logger): void {
  process.on('unhandledRejection', (err) => log.error({ err }, 'a promise that nobody looked at'));
  process.on('uncaughtException', (err) => {
    log.fatal({ err }, 'a bug of our own: the process ends');
    process.exit(1);
  });
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
