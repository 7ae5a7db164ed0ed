import { config as readDotenv } from 'dotenv';
import { type Config, ConfigError, readConfig } from './config/config.ts';
import { startReport } from './config/start-report.ts';
import { ListenError } from './http/listen.ts';
import { PROVIDERS, startUnderstudy, type Understudy } from './server.ts';
import { createSystemClock } from './shared/clock.ts';
import { createLogger, type Logger, LogOutput, STANDARD_OUTPUT } from './shared/logger.ts';
import { StoreFault } from './sharing/open-store.ts';

/** Shorter than the platform's limit (`maxShutdownDelaySeconds` in render.yaml). */
const DRAIN_LIMIT_MS = 290_000;
/** How long kept connections may still bring a request each; at a terminal there is no reason to wait. */
const LAST_REQUESTS_MS = { SIGTERM: 2000, SIGINT: 0 };

const clock = createSystemClock();

const [option, ...others] = process.argv.slice(2);
if (option === '--demo') fail('The demo is no part of the server: npm run demo');
else if (option === undefined) await run();
else if (option === '--check' && others.length === 0) await check();
else if (option === '--help' || option === '-h') process.stdout.write(`${usage()}\n`);
else fail(usage(), 2);

function usage(): string {
  return `Usage: node dist/main.js [--check]

Without an option it starts the server. --check checks every key and starts no server.
Settings are environment variables: see docs/settings.md.`;
}

async function run(): Promise<void> {
  const config = readSettings(1);
  const output = new LogOutput(STANDARD_OUTPUT, clock);
  process.on('exit', () => output.flushSync());
  const log = createLogger({
    level: config.logLevel,
    redact: config.redact,
    destination: output,
  });
  surfaceBugs(log);
  const report = reporter(config);
  for (const line of startReport(config, PROVIDERS)) report(line);
  const understudy = await serve(config, log, report);
  stopOnSignals(understudy, log, output);
  const { port } = understudy;
  const { host, mode } = config;
  log.info({ port, host, mode, pid: process.pid }, 'listening');
}

/** Checks every key and starts no server. Ends with 0 if all work, 1 if one does not, 2 for bad settings or a store that cannot be used. */
async function check(): Promise<void> {
  const config = readSettings(2);
  const { checkInTerminal } = await import('./check-command.ts');
  const checking = checkInTerminal(config, PROVIDERS, clock);
  const { text, exitCode } = await checking.catch((error) => failIfExpected(error, config, 2));
  process.stdout.write(text, () => process.exit(exitCode));
}

function readSettings(exitCode: number): Config {
  // A real variable wins. Libraries read some themselves, such as the address of a proxy.
  readDotenv({ quiet: true });
  try {
    return readConfig(process.env, PROVIDERS);
  } catch (error) {
    if (error instanceof ConfigError) fail(error.message, exitCode);
    throw error;
  }
}

/** For the person who starts it. Standard output has structured lines only. */
function reporter({ logLevel }: Config): (line: string) => void {
  return logLevel === 'silent' ? () => {} : (line) => void process.stderr.write(`${line}\n`);
}

function serve(config: Config, log: Logger, report: (line: string) => void): Promise<Understudy> {
  const runtime = { clock, random: Math.random, log, measuresProcess: true, report };
  return startUnderstudy(config, runtime).catch((error) => failIfExpected(error, config, 1));
}

function failIfExpected(error: unknown, { redact }: Config, exitCode: number): never {
  if (error instanceof ListenError || error instanceof StoreFault)
    fail(redact(error.message), exitCode);
  throw error;
}

/** Lets every answer out before the process ends; a second signal ends it at once. */
function stopOnSignals(understudy: Understudy, log: Logger, output: LogOutput): void {
  let isStopping = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (isStopping) process.exit(1);
      isStopping = true;
      log.info({ signal }, 'stopping: no new connections, answers in flight go out');
      void understudy.stop(DRAIN_LIMIT_MS, LAST_REQUESTS_MS[signal]).then(async (endedByItself) => {
        log.info({ endedByItself }, 'stopped');
        await output.settled();
        process.exit(0);
      });
    });
  }
}

/**
 * Logs bugs with their stack, without any key. An unhandled rejection belongs to one request, and the
 * others go on; after an uncaught exception the state of the process is unknown.
 */
function surfaceBugs(log: Logger): void {
  process.on('unhandledRejection', (err) => log.error({ err }, 'unhandled rejection'));
  process.on('uncaughtException', (err) => {
    log.fatal({ err }, 'uncaught exception: the process ends');
    process.exit(1);
  });
}

function fail(message: string, exitCode = 1): never {
  process.stderr.write(`${message}\n`);
  process.exit(exitCode);
}
