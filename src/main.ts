import { config as readDotenv } from 'dotenv';
import { type Config, ConfigError, readConfig } from './config.ts';
import { createSystemClock } from './shared/clock.ts';
import { createLogger, type Logger } from './shared/logger.ts';
import { startReport } from './start-report.ts';
import { redactSecretsOf, startUnderstudy, type Understudy } from './understudy.ts';

/** A little less than the platform's own patience (`maxShutdownDelaySeconds` in render.yaml). */
const DRAIN_LIMIT_MS = 110_000;

const clock = createSystemClock();

await run();

async function run(): Promise<void> {
  const isDemo = process.argv.includes('--demo');
  const demo = isDemo ? await startDemo() : null;
  const config = readSettings(demo?.environment ?? realEnvironment(), isDemo ? 'demo' : 'live');
  const log = createLogger({ level: config.logLevel, redact: redactSecretsOf(config) });
  surfaceBugs(log);
  report(config);
  const surroundings = { clock, random: Math.random, log, measuresProcess: true };
  const understudy = await startUnderstudy(config, surroundings).catch((error: unknown) => {
    if (!isAddressFault(error)) throw error;
    return fail(redactSecretsOf(config)(cannotListen(error, config)));
  });
  log.info({ port: understudy.port, host: config.host, mode: config.mode }, 'listening');
  stopOnSignals(understudy, log);
  demo?.show(`http://127.0.0.1:${understudy.port}`);
}

/** The stand-ins are only loaded when they are wanted. */
async function startDemo() {
  const { startDemoProviders } = await import('./standin/demo/demo.ts');
  return startDemoProviders({ clock, environment: process.env, output: process.stdout });
}

function realEnvironment(): NodeJS.ProcessEnv {
  readDotenv({ quiet: true });
  return process.env;
}

function readSettings(environment: NodeJS.ProcessEnv, mode: Config['mode']): Config {
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

/** Lets every answer out before the process ends; a second signal does not wait. */
function stopOnSignals(understudy: Understudy, log: Logger): void {
  let isStopping = false;
  const stop = async (signal: string) => {
    if (isStopping) process.exit(1);
    isStopping = true;
    log.info({ signal }, 'stopping: no new connections, answers in flight go out');
    const endedByItself = await understudy.stop(DRAIN_LIMIT_MS);
    log.info({ endedByItself }, 'stopped');
    process.exit(0);
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
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

function isAddressFault(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && (error as NodeJS.ErrnoException).syscall !== undefined;
}

function cannotListen({ code, message }: NodeJS.ErrnoException, { port, host }: Config): string {
  if (code === 'EADDRINUSE') return `PORT: ${port} is already in use on ${host}.`;
  if (code === 'EACCES') return `PORT: ${port} needs more rights than this process has.`;
  return `Cannot listen on ${host}:${port}: ${message}`;
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
