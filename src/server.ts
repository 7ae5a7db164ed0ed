import { Agent } from 'undici';
import { loadAdmin } from './admin.ts';
import type { Config } from './config/config.ts';
import { createFailover } from './failover/failover.ts';
import { toAllSinks } from './failover/trace.ts';
import { createWaitQueues } from './failover/wait-queue.ts';
import { createApp } from './http/app.ts';
import { drain } from './http/drain.ts';
import { createHttpServer, listen } from './http/server.ts';
import { createRequestLog } from './observability/request-log.ts';
import { KeyPool } from './pool/key-pool.ts';
import { anam } from './providers/anam/anam.ts';
import type { Anam, AnamOptions } from './providers/anam/anam-api.ts';
import { createGemini, google } from './providers/gemini/gemini.ts';
import { createGeminiRelay } from './providers/gemini/gemini-relay.ts';
import type { Provider } from './providers/provider.ts';
import { createAvatarSession } from './services/avatar-session.ts';
import { createChat } from './services/chat.ts';
import { AVATAR_LANES } from './services/persona-for.ts';
import { createRelay } from './services/relay.ts';
import { loadShare } from './share.ts';
import { UNMETERED_LANE } from './shared/api-key.ts';
import type { Clock } from './shared/clock.ts';
import type { Logger } from './shared/logger.ts';
import { createRedact, type Redact } from './shared/redact.ts';
import { Secret } from './shared/secret.ts';

/** In the order in which they are listed everywhere. Adding one is a folder and a line here. */
export const PROVIDERS: readonly Provider<Config>[] = [google, anam];

/** What only the outermost caller knows: the real ones in `main.ts`, others in tests and benchmarks. */
export interface Surroundings {
  readonly clock: Clock;
  /** From 0 to 1. */
  readonly random: () => number;
  readonly log: Logger;
  /** Whether the metrics tell of the process too; what measures it goes on to its end. Default: false. */
  readonly measuresProcess?: boolean;
}

export interface Understudy {
  readonly port: number;
  /**
   * Lets every request in flight have its answer, then frees all that was opened.
   *
   * @param limitMs after which what is still open is cut off
   * @param farewellMs how long kept connections may still bring a request each; default: 0
   * @returns whether everything ended by itself
   */
  stop(limitMs: number, farewellMs?: number): Promise<boolean>;
}

/** Where settings become objects: one pool for the process, and everything that uses it. */
export async function startUnderstudy(
  config: Config,
  surroundings: Surroundings,
): Promise<Understudy> {
  const { clock, random, log, measuresProcess = false } = surroundings;
  const redact = redactSecretsOf(config);
  const lanes = { google: [...config.googleModels, UNMETERED_LANE], anam: AVATAR_LANES };
  const share = await loadShare(config, { clock, random, log });
  const pool = new KeyPool({
    keys: config.keys,
    models: lanes,
    cooldownMs: config.cooldownMs,
    now: clock.now,
    ...(share === null ? {} : { peers: share.peers, random }),
  });
  const queues = createWaitQueues(clock);
  const requestLog = createRequestLog(log, pool.inspection);
  const admin = await loadAdmin(config, {
    pool,
    lanes,
    queues,
    sharing: share,
    clock,
    log,
    redact,
    measuresProcess,
  });
  const sink = toAllSinks([requestLog, ...(admin?.sinks ?? [])]);
  const failover = createFailover({
    ...config,
    pool,
    clock,
    random,
    queues,
    sink,
  });
  const dispatcher = new Agent({ bodyTimeout: 0, headersTimeout: 0 });
  const upstream = { redact, now: clock.now };
  const gemini = { ...upstream, baseUrl: config.googleBaseUrl, dispatcher };
  const models = config.googleModels;
  const chat = { failover, stream: createGemini(gemini), models };
  const app = createApp({
    ...config,
    admin,
    log,
    clock,
    counts: (service) => pool.inspection.counts(service),
    redis: share === null ? null : share.redis,
    sharedStore: share?.sharedStore ?? null,
    models,
    chat: createChat({ ...chat, systemPrompt: config.systemPrompt }),
    completions: createChat({ ...chat, systemPrompt: null }),
    relay: createRelay({ failover, relay: createGeminiRelay(gemini), models }),
    avatar: createAvatarSession({
      failover,
      anam: await loadAnam(config, upstream),
      clock,
      keys: config.keys,
      texts: share?.sharedStore.texts ?? null,
      persona: config.persona,
      hasPersona: config.persona !== null || config.keys.some((key) => key.personaId !== undefined),
    }),
  });
  await share?.join(pool, queues);
  const server = createHttpServer(app, log);
  return {
    port: await listen(server, config.port, config.host),
    async stop(limitMs, farewellMs = 0) {
      const endedByItself = await drain(server, clock, { limitMs, farewellMs });
      await share?.stop();
      await dispatcher.destroy();
      return endedByItself;
    },
  };
}

/** Loading axios is a good part of the whole start, and left out where no key would ever use it. */
async function loadAnam(
  { keys, anamBaseUrl: baseUrl }: Config,
  upstream: Omit<AnamOptions, 'baseUrl'>,
): Promise<Anam | null> {
  if (!keys.some(({ service }) => service === 'anam')) return null;
  const { createAnam } = await import('./providers/anam/anam-api.ts');
  return createAnam({ ...upstream, baseUrl });
}

/** As it is written, and as it is sent; shorter texts could be part of anything. */
function passwordsIn(redisUrl: Secret | null): readonly Secret[] {
  if (redisUrl === null) return [];
  const { password } = new URL(redisUrl.reveal());
  return [redisUrl.reveal(), password, decodeURIComponent(password)]
    .filter(({ length }) => length >= MIN_PASSWORD_LENGTH)
    .map((text) => new Secret('redis', text));
}

const MIN_PASSWORD_LENGTH = 6;

/** For the logger too, which has to exist before anything else. */
export const redactSecretsOf = ({ keys, clientTokens, adminToken, redisUrl }: Config): Redact =>
  createRedact([
    ...passwordsIn(redisUrl),
    ...keys.map(({ secret }) => secret),
    ...clientTokens,
    ...(adminToken === null ? [] : [adminToken]),
  ]);

/** @returns why the address cannot be listened on; null when the error is another one */
export function cannotListen(
  error: unknown,
  { port, host }: Pick<Config, 'port' | 'host'>,
): string | null {
  if (!isSystemError(error)) return null;
  const { code, message } = error;
  if (code === 'EADDRINUSE') return `PORT: ${port} is already in use on ${host}.`;
  if (code === 'EACCES') return `PORT: ${port} needs more rights than this process has.`;
  return `Cannot listen on ${host}:${port}: ${message}`;
}

const isSystemError = (error: unknown): error is NodeJS.ErrnoException =>
  error instanceof Error && (error as NodeJS.ErrnoException).syscall !== undefined;
