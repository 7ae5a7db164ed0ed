import { config as readDotenv } from 'dotenv';
import { type Config, ConfigError, readConfig } from './config/config.ts';
import { startReport } from './config/start-report.ts';
import {
  cannotListen,
  PROVIDERS,
  redactSecretsOf,
  startUnderstudy,
  type Understudy,
} from './server.ts';
import { createSystemClock } from './shared/clock.ts';
import { createLogger, type Logger } from './shared/logger.ts';

/** Shorter than the platform's limit (`maxShutdownDelaySeconds` in render.yaml). */
const DRAIN_LIMIT_MS = 290_000;
/** How long kept connections may still bring a request each; at a terminal there is no reason to wait. */
const LAST_REQUESTS_MS = { SIGTERM: 2000, SIGINT: 0 };

type Environment = Record<string, string | undefined>;

const clock = createSystemClock();

if (process.argv.includes('--demo')) fail('The demo is no part of the server: npm run demo');
await run();

async function run(): Promise<void> {
  const environment = realEnvironment();
  const config = readSettings(environment);
  const log = createLogger({ level: config.logLevel, redact: redactSecretsOf(config) });
  surfaceBugs(log);
  report(config);
  const understudy = await serve(environment, config, log);
  stopOnSignals(understudy, log);
  const { port } = understudy;
  const { host, mode } = config;
  log.info({ port, host, mode, pid: process.pid }, 'listening');
}

/** As it is now: what `.env` says may change, and goes to this process only when it serves. */
function realEnvironment(): Environment {
  const environment = { ...process.env };
  readDotenv({ quiet: true, processEnv: environment });
  return environment;
}

function readSettings(environment: Environment): Config {
  try {
    return readConfig(environment, PROVIDERS);
  } catch (error) {
    if (error instanceof ConfigError) fail(error.message);
    throw error;
  }
}

/** For whoever starts it; on standard output there are structured lines alone. */
function report(config: Config): void {
  if (config.logLevel === 'silent') return;
  process.stderr.write(
    startReport(config, PROVIDERS)
      .map((line) => `${line}\n`)
      .join(''),
  );
}

async function serve(environment: Environment, config: Config, log: Logger): Promise<Understudy> {
  // Some that we use read it themselves, such as the address of a proxy.
  Object.assign(process.env, environment);
  const surroundings = { clock, random: Math.random, log, measuresProcess: true };
  return startUnderstudy(config, surroundings).catch((error: unknown) => {
    const why = cannotListen(error, config);
    if (why === null) throw error;
    return fail(redactSecretsOf(config)(why));
  });
}

/** Lets every answer out before the process ends; a second signal ends it at once. */
function stopOnSignals(understudy: Understudy, log: Logger): void {
  let isStopping = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (isStopping) process.exit(1);
      isStopping = true;
      log.info({ signal }, 'stopping: no new connections, answers in flight go out');
      void understudy.stop(DRAIN_LIMIT_MS, LAST_REQUESTS_MS[signal]).then((endedByItself) => {
        log.info({ endedByItself }, 'stopped');
        process.exit(0);
      });
    });
  }
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
