import { Agent } from 'undici';
import type { Config } from './config/config.ts';
import { createFailover } from './failover/failover.ts';
import { toAllSinks } from './failover/trace.ts';
import { createWaitQueues, type WaitQueues } from './failover/wait-queue.ts';
import { createApp } from './http/app.ts';
import { createHttpServer, drain, listen } from './http/listen.ts';
import type { MetricsOptions } from './observability/metrics.ts';
import { createRequestLog } from './observability/request-log.ts';
import { KeyPool } from './pool/key-pool.ts';
import { anam } from './providers/anam/anam.ts';
import type { Anam, AnamOptions } from './providers/anam/anam-api.ts';
import { createGemini, google } from './providers/gemini/gemini.ts';
import { createGeminiRelay } from './providers/gemini/gemini-relay.ts';
import type { Provider } from './providers/provider.ts';
import { createAvatarSession } from './services/avatar-session.ts';
import { createChat } from './services/chat.ts';
import { createRelay } from './services/relay.ts';
import { atMost, type Clock } from './shared/clock.ts';
import type { Logger } from './shared/logger.ts';
import { createRedact, type Redact } from './shared/redact.ts';
import { Secret } from './shared/secret.ts';
import { modelTarget, personaTarget, type Target, unmeteredTarget } from './shared/target.ts';

/** In the order in which they are listed everywhere. Adding one is a folder and a line here. */
export const PROVIDERS: readonly Provider<Config>[] = [google, anam];

/** What the process gives to the server: the real things in `main.ts`, others in tests and benches. */
export interface Runtime {
  readonly clock: Clock;
  /** From 0 to 1. */
  readonly random: () => number;
  readonly log: Logger;
  /** Whether the metrics include the process; what measures it runs until the process ends. Default: false. */
  readonly measuresProcess?: boolean;
}

export interface Understudy {
  readonly port: number;
  /**
   * Lets every request in flight have its answer, then frees all that was opened.
   *
   * @param limitMs after which what is still open is cut off
   * @param lastRequestsMs how long idle connections may still send one request each; default: 0
   * @returns whether everything ended by itself
   */
  stop(limitMs: number, lastRequestsMs?: number): Promise<boolean>;
}

/** Turns settings into objects: one pool for the process, and everything that uses it. */
export async function startUnderstudy(config: Config, runtime: Runtime): Promise<Understudy> {
  const { clock, random, log } = runtime;
  const redact = redactSecretsOf(config);
  const targets = createTargets(config);
  const sharing = await loadSharing(config, runtime);
  const pool = new KeyPool({
    keys: config.keys,
    targets: targets.all,
    cooldownMs: config.cooldownMs,
    now: clock.now,
    ...(sharing === null ? {} : { peers: sharing.peers, random }),
  });
  const queues = createWaitQueues(clock);
  const admin = await loadAdmin(config, { ...runtime, pool, queues, targets, redact, sharing });
  const sink = toAllSinks([createRequestLog(log, pool.inspection), ...(admin?.sinks ?? [])]);
  const failover = createFailover({ ...config, pool, clock, random, queues, sink });
  const dispatcher = new Agent({ bodyTimeout: 0, headersTimeout: 0 });
  const upstream = { redact, now: clock.now };
  const gemini = { ...upstream, baseUrl: config.googleBaseUrl, dispatcher };
  const chat = { failover, stream: createGemini(gemini), targets: targets.models };
  const app = createApp({
    ...config,
    admin,
    log,
    clock,
    counts: (service) => pool.inspection.counts(service),
    redis: sharing?.redis ?? null,
    sharedStore: sharing?.sharedStore ?? null,
    models: config.googleModels,
    chat: createChat({ ...chat, systemPrompt: config.systemPrompt }),
    completions: createChat({ ...chat, systemPrompt: null }),
    relay: createRelay({
      ...chat,
      relay: createGeminiRelay(gemini),
      unmetered: targets.unmetered,
    }),
    avatar: createAvatarSession({
      failover,
      targets: targets.personas,
      anam: await loadAnam(config, upstream),
      clock,
      keys: config.keys,
      texts: sharing?.sharedStore.texts ?? null,
      persona: config.persona,
      hasPersona: config.persona !== null || config.keys.some((key) => key.personaId !== undefined),
    }),
  });
  await sharing?.join(pool, queues);
  const server = createHttpServer(app, log);
  return {
    port: await listen(server, config.port, config.host),
    async stop(limitMs, lastRequestsMs = 0) {
      const endedByItself = await drain(server, clock, { limitMs, idleMs: lastRequestsMs });
      await sharing?.stop();
      await dispatcher.destroy();
      return endedByItself;
    },
  };
}

/** A Redis that does not answer must not delay the start or the end for long. */
const JOIN_LIMIT_MS = 1000;
const LEAVE_LIMIT_MS = 500;

/** What instances share; null without a Redis, whose client is then not loaded. */
async function loadSharing(config: Config, { clock, random, log }: Runtime) {
  const { redisUrl: url, redisPrefix: prefix, keys, cooldownMs } = config;
  if (url === null) return null;
  const [{ Sharing }, { createRedisStore }] = await Promise.all([
    import('./sharing/sharing.ts'),
    import('./sharing/redis-store.ts'),
  ]);
  const sharedStore = createRedisStore({ url, prefix, clock, random, log });
  const { connection, records } = sharedStore;
  const sharing = new Sharing({ store: records, keys, cooldownMs, clock });
  return {
    peers: sharing.peers,
    sharedStore,
    redis: () => connection.state,
    counts: () => sharing.counts,
    join({ knowledge }: KeyPool, queues: WaitQueues) {
      const joined = sharing.join(knowledge, {
        opened: (service) => queues[service].keyProved(null),
        changed: (service) => queues[service].leaseFailed(null),
      });
      return atMost(JOIN_LIMIT_MS, clock, joined, undefined);
    },
    async stop() {
      await atMost(LEAVE_LIMIT_MS, clock, sharing.stop(), undefined);
      connection.close();
    },
  };
}

type Targets = ReturnType<typeof createTargets>;

function createTargets({ googleModels: [first, ...others] }: Config) {
  const models: readonly [Target, ...Target[]] = [
    modelTarget('google', first),
    ...others.map((model) => modelTarget('google', model)),
  ];
  const unmetered = unmeteredTarget('google');
  const personas = {
    ours: personaTarget('anam', 'ours'),
    callers: personaTarget('anam', 'callers'),
  };
  return { models, unmetered, personas, all: [...models, unmetered, ...Object.values(personas)] };
}

interface AdminParts extends Runtime, Pick<MetricsOptions, 'sharing'> {
  readonly pool: KeyPool;
  readonly targets: Targets;
  readonly queues: WaitQueues;
  readonly redact: Redact;
}

/** Null without an admin token: neither the admin view nor the metrics are loaded then. */
async function loadAdmin(config: Config, parts: AdminParts) {
  const { adminToken: token, googleModels, allowClientPersona, mode, cooldownMs } = config;
  if (token === null) return null;
  const [{ createAdminView }, { createMetrics }] = await Promise.all([
    import('./observability/admin-view.ts'),
    import('./observability/metrics.ts'),
  ]);
  const { pool, targets, redact, sharing, measuresProcess = false } = parts;
  const { inspection, operator } = pool;
  const { ours, callers } = targets.personas;
  // The personas of callers are reported only where callers may bring one.
  const others = allowClientPersona ? [callers.label] : [];
  const models = { google: googleModels, anam: [ours.label, ...others] as const };
  const redis = sharing?.redis ?? null;
  const view = createAdminView({ ...parts, inspection, operator, models, mode, redis });
  const metrics = createMetrics({ ...parts, targets: targets.all, measuresProcess });
  return { token, view, metrics, redact, cooldownMs, sinks: [view.sink, metrics.sink] };
}

/** Null without an Anam key: axios takes a good part of the whole start to load. */
async function loadAnam(
  { keys, anamBaseUrl: baseUrl }: Config,
  upstream: Omit<AnamOptions, 'baseUrl'>,
): Promise<Anam | null> {
  if (!keys.some(({ service }) => service === 'anam')) return null;
  const { createAnam } = await import('./providers/anam/anam-api.ts');
  return createAnam({ ...upstream, baseUrl });
}

/** As it is written and as it is sent. A shorter text could be part of anything. */
function passwordsIn(redisUrl: Secret | null): readonly Secret[] {
  if (redisUrl === null) return [];
  const { password } = new URL(redisUrl.reveal());
  return [redisUrl.reveal(), password, decodeURIComponent(password)]
    .filter(({ length }) => length >= MIN_PASSWORD_LENGTH)
    .map((text) => new Secret('redis', text));
}

const MIN_PASSWORD_LENGTH = 6;

/** The logger needs it before anything else exists. */
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
