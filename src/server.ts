import { randomUUID } from 'node:crypto';
import type { Config } from './config/config.ts';
import { createFailover, type Failover } from './failover/failover.ts';
import { createHedging } from './failover/hedging.ts';
import { createWaitQueues, type WaitQueues } from './failover/wait-queue.ts';
import { createApp } from './http/app.ts';
import { createHttpServer, drain, listen } from './http/listen.ts';
import { RunningAnswers } from './http/running-answers.ts';
import type { AlertsOptions } from './observability/alerts.ts';
import type { OtelOptions } from './observability/otel.ts';
import { createRequestLog } from './observability/request-log.ts';
import { KeyPool } from './pool/key-pool.ts';
import { anam } from './providers/anam/anam.ts';
import { createAnam } from './providers/anam/anam-api.ts';
import { google } from './providers/gemini/gemini.ts';
import { createLiveTokenClient } from './providers/gemini/gemini-live-token.ts';
import { createGeminiRelay, toCountRequest } from './providers/gemini/gemini-relay.ts';
import { createDispatcher } from './providers/gemini/transport.ts';
import type { Provider, UpstreamContext } from './providers/provider.ts';
import type { Admission } from './services/admission.ts';
import { createAvatarSession } from './services/avatar.ts';
import type { ClientLimit } from './services/budgets.ts';
import { createChat } from './services/chat.ts';
import type { Clients } from './services/clients.ts';
import { createEmbed } from './services/embeddings.ts';
import { createKeyChecks, type KeyChecks } from './services/key-check.ts';
import { KeyRegistry, type KeyRegistryOptions } from './services/key-registry.ts';
import { createLiveTokens } from './services/live-token.ts';
import { createRelay } from './services/relay.ts';
import { createTokenCount } from './services/token-count.ts';
import type { ApiKey } from './shared/api-key.ts';
import { atMost, type Clock, MINUTE_MS } from './shared/clock.ts';
import type { DurableStore } from './shared/durable-store.ts';
import type { Logger } from './shared/logger.ts';
import { providerOf } from './shared/provider-facts.ts';
import { createSealer } from './shared/seal.ts';
import { Secret } from './shared/secret.ts';
import { servedModels, type Target, targetWhere } from './shared/target.ts';
import { createMemoryStore } from './sharing/memory-store.ts';
import { openStore, StoreFault } from './sharing/open-store.ts';

/** In the order in which they are listed everywhere. Adding one is a folder and a line here. */
export const PROVIDERS: readonly Provider<Config>[] = [google, anam];

/** What the process gives to the server: the real things in `main.ts`, others in tests and benches. */
export interface Runtime {
  readonly clock: Clock;
  /** From 0 to 1. */
  readonly random: () => number;
  readonly log: Logger;
  /** Default: all that there are. */
  readonly providers?: readonly Provider<Config>[];
  /** How long a minute of a quota lasts, in milliseconds: shorter with a stand-in. Default: a minute. */
  readonly minuteMs?: number;
  /** Whether the metrics include the process; what measures it runs until the process ends. Default: false. */
  readonly measuresProcess?: boolean;
  /** Prints a line for the person who starts the server. Default: nothing is printed. */
  readonly report?: (line: string) => void;
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
  const { clock, random, log, providers = PROVIDERS, minuteMs = MINUTE_MS } = runtime;
  const { redact } = config;
  const targets = providers.flatMap((provider) => provider.createTargets(config));
  const sharing = await loadSharing(config, runtime);
  const store = await openStore({ ...config, clock, log, redis: sharing?.documents }).catch(
    async (error) => {
      await sharing?.stop();
      throw error;
    },
  );
  const pool = new KeyPool({
    keys: config.keys,
    targets,
    cooldownMs: config.cooldownMs,
    now: clock.now,
    limitsOf: (target) =>
      providerOf(providers, target.provider).statedLimits?.(config, target) ?? {},
    minuteMs,
    ...(sharing === null ? {} : { peers: sharing.peers, random }),
  });
  const queues = createWaitQueues(clock, providers);
  const dispatcher = createDispatcher();
  const upstream = { dispatcher, redact, now: clock.now };
  const parts = { ...runtime, providers, minuteMs, targets, sharing, store, pool, queues };
  const checkers = keyCheckers(config, providers, upstream);
  const checks = createKeyChecks({ checkers, learns: { pool, queues }, clock, log });
  const registry = createRegistry(config, parts);
  await registry.start();
  reportStoredKeys(registry, store, runtime);
  const callers = await loadClients(config, parts);
  const { clients } = callers;
  const admin = await loadAdmin(config, { ...parts, checks, registry, clients });
  const admission = callers.admission(admin?.http.overBudget);
  const otel = await loadOtel(config, { clock, log, redact, providers });
  const failover = admission.guard(
    createFailover({
      ...config,
      ...{ providers, pool, clock, random, queues, tracing: otel.tracing },
      hedging: createHedging(),
      sinks: [
        createRequestLog(log, pool.inspection, providers),
        ...(admin?.sinks ?? []),
        admission.sink,
        ...otel.sinks,
      ],
      arePaused: (provider) => registry.arePaused(provider),
    }),
  );
  const sharedStore = sharing?.sharedStore ?? null;
  const runningAnswers = config.chatResume
    ? new RunningAnswers({ clock, store: sharedStore?.answers ?? null })
    : null;
  const app = createApp({
    ...config,
    ...createServices(config, parts, { failover, upstream, registry }),
    admin: admin?.http ?? null,
    clients,
    log,
    clock,
    countKeys: () =>
      Object.fromEntries(providers.map(({ name }) => [name, pool.inspection.counts(name)])),
    redis: sharing?.redis ?? null,
    sharedStore,
    runningAnswers,
  });
  await sharing?.join(pool, queues);
  admin?.start();
  const server = createHttpServer(app, log);
  const port = await listen(server, config.port, config.host);
  void checkAtStart(config, checks, pool, runtime);
  return {
    port,
    async stop(limitMs, lastRequestsMs = 0) {
      const until = clock.now() + limitMs;
      const endedByItself = await drain(server, clock, { limitMs, idleMs: lastRequestsMs });
      const answersEnded = (await runningAnswers?.drain(until - clock.now())) ?? true;
      checks.stop();
      await otel.stop();
      if (admin !== null)
        await atMost(LEAVE_LIMIT_MS + ALERTS_LIMIT_MS, clock, admin.stop(), undefined);
      registry.stop();
      await callers.stop();
      await store.close();
      await sharing?.stop();
      await dispatcher.destroy();
      return endedByItself && answersEnded;
    },
  };
}

/** A Redis that does not answer must not delay the start or the end for long. */
const JOIN_LIMIT_MS = 1000;
const LEAVE_LIMIT_MS = 500;
/** How long alerts that are being sent may take at the stop. */
const ALERTS_LIMIT_MS = 2000;

/** What instances share; null without a Redis, whose client is then not loaded. */
async function loadSharing(config: Config, { clock, random, log }: Runtime) {
  const { redisUrl: url, redisPrefix: prefix, keys, cooldownMs } = config;
  if (url === null) return null;
  const [{ Sharing }, { createRedisStore }] = await Promise.all([
    import('./sharing/sharing.ts'),
    import('./sharing/redis-store.ts'),
  ]);
  const sharedStore = createRedisStore({ url, prefix, keys, clock, random, log });
  const { connection, records, documents } = sharedStore;
  const sharing = new Sharing({ store: records, keys, cooldownMs, clock });
  return {
    peers: sharing.peers,
    sharedStore,
    shareClientUse: sharing.shareClientUse,
    documents,
    redis: () => connection.state,
    counts: () => sharing.counts,
    keysChanged: (keys: Iterable<ApiKey>, added: readonly ApiKey[]) =>
      sharing.keysChanged(keys, added),
    join(pool: KeyPool, queues: WaitQueues) {
      const joined = sharing.join(pool, {
        opened: (provider) => queues.get(provider)?.keyProved(null),
        changed: (provider) => queues.get(provider)?.leaseFailed(null),
      });
      return atMost(JOIN_LIMIT_MS, clock, joined, undefined);
    },
    async stop() {
      await atMost(LEAVE_LIMIT_MS, clock, sharing.stop(), undefined);
      connection.close();
    },
  };
}

/** What most of the following functions need. */
interface Parts extends Runtime {
  readonly providers: readonly Provider<Config>[];
  readonly minuteMs: number;
  readonly targets: readonly Target[];
  /** Null without Redis. */
  readonly sharing: Awaited<ReturnType<typeof loadSharing>>;
  readonly store: DurableStore;
  readonly pool: KeyPool;
  readonly queues: WaitQueues;
}

type RegistryParts = Pick<KeyRegistryOptions, 'clock' | 'log' | 'providers' | 'pool' | 'queues'> &
  Pick<Parts, 'sharing' | 'store'>;

/** The checks of the providers that have one, by provider. */
export const keyCheckers = (
  config: Config,
  providers: readonly Provider<Config>[],
  upstream: UpstreamContext,
) =>
  new Map(
    providers.flatMap(({ name, createKeyCheck }) =>
      createKeyCheck === undefined ? [] : [[name, createKeyCheck(config, upstream)]],
    ),
  );

/**
 * The keys that a server with these settings would use, those of the store included. Starts no server.
 *
 * @throws StoreFault also when the store does not answer
 */
export async function readUsedKeys(
  config: Config,
  runtime: Pick<Runtime, 'clock' | 'random' | 'log'>,
): Promise<readonly ApiKey[]> {
  const { redisUrl, dataDir, masterKey, keys } = config;
  if (masterKey === null || (redisUrl === null && dataDir === null)) return keys;
  const sharing = await loadSharing(config, runtime);
  try {
    const store = await openStore({ ...config, ...runtime, redis: sharing?.documents });
    if (!store.isUp()) throw new StoreFault('The store of the keys does not answer.');
    const pool = { put() {}, remove: () => null };
    const parts = { ...runtime, providers: PROVIDERS, sharing: null, store, pool };
    const registry = createRegistry(config, { ...parts, queues: new Map() });
    await registry.start();
    registry.stop();
    await store.close();
    return [...registry.all()].filter(({ use }) => use === 'used').map(({ key }) => key);
  } finally {
    await sharing?.stop();
  }
}

/** Changes of the keys are kept where there is a store that lasts and a secret that seals them. */
function createRegistry(
  { keys, fileKeys, readKeysAgain: readAgain, masterKey, redact, learnSecrets }: Config,
  { store, sharing, ...parts }: RegistryParts,
): KeyRegistry {
  const missingSettings = [
    ...(masterKey === null ? (['MASTER_KEY'] as const) : []),
    ...(store.kind === 'memory' ? (['REDIS_URL', 'DATA_DIR'] as const) : []),
  ];
  const areKept = masterKey !== null && store.kind !== 'memory';
  return new KeyRegistry({
    ...parts,
    settings: { keys, fileKeys },
    readAgain,
    missingSettings,
    store: areKept ? store : createMemoryStore(parts.clock.now),
    sealer: createSealer(areKept ? masterKey : new Secret('this-process', randomUUID())),
    keysChanged: (keys, added) => sharing?.keysChanged(keys, added),
    redact,
    learnSecrets,
  });
}

/** Where keys are kept beyond the restart. */
function reportStoredKeys(
  registry: KeyRegistry,
  store: DurableStore,
  { report = () => {} }: Runtime,
): void {
  if (registry.storage === 'memory') return;
  const count = [...registry.all()].filter(({ origin }) => origin === 'added').length;
  const found = `${count} ${count === 1 ? 'key' : 'keys'} besides those of the settings.`;
  report(`store: ${store.isUp() ? found : 'does not answer yet; its keys are used once it does.'}`);
}

/** Without client tokens, and without an admin token to make a client. */
const NO_CLIENTS = {
  clients: null,
  admission: (): Admission => ({ guard: (failover) => failover, sink: {} }),
  async stop() {},
};

async function loadClients(config: Config, parts: Parts) {
  const { clientTokens: tokens, adminToken, modelAliases: aliases } = config;
  if (tokens.length === 0 && adminToken === null) return NO_CLIENTS;
  const [{ Clients }, { createAdmission }, { createBudgetSaver }, { createClientUse }, fair] =
    await Promise.all([
      import('./services/clients.ts'),
      import('./services/admission.ts'),
      import('./services/budgets.ts'),
      import('./services/client-use.ts'),
      import('./pool/fair-share.ts'),
    ]);
  const { clock, minuteMs, pool, store, sharing, targets } = parts;
  const shares = new fair.FairShare({
    minuteMs,
    capacityOf: (target) => pool.capacity(target),
    changed: sharing === null ? null : (claim) => shared?.used(claim),
  });
  const clients = new Clients({
    ...{ tokens, aliases, store, clock, log: parts.log },
    revoked: (name) => shares.forget(name),
  });
  const served = servedModels(
    targets.filter(({ model }) => model !== null),
    aliases,
  );
  const shared = sharing?.shareClientUse(createClientUse({ clients, shares, targets })) ?? null;
  await atMost(JOIN_LIMIT_MS, clock, clients.begin(), undefined);
  // With Redis the instances share the counts of the day.
  const saver =
    store.kind === 'file'
      ? createBudgetSaver({
          store,
          clock,
          budgets: () => clients.all().map(({ name, budget }) => [name, budget] as const),
        })
      : null;
  await saver?.restore().catch(() => {});
  return {
    clients,
    admission: (refused: (client: string, limit: ClientLimit) => void = () => {}) =>
      createAdmission({
        ...{ clients, shares, clock, refused, served },
        used(client) {
          shared?.used(client);
          saver?.changed();
        },
      }),
    stop: async () => saver?.stop(),
  };
}

interface AdminParts extends Parts {
  readonly checks: KeyChecks;
  readonly registry: KeyRegistry;
  /** Null without an admin token and client tokens. */
  readonly clients: Clients | null;
}

/** Null without an admin token: its routes and the metrics are not loaded then. */
async function loadAdmin(config: Config, parts: AdminParts) {
  const { adminToken: token, mode, cooldownMs, prices, redact } = config;
  const { clients } = parts;
  if (token === null || clients === null) return null;
  const [
    { createAdminView },
    { Incidents },
    { createMetrics },
    { createAdminHttp },
    { createUsageStats },
  ] = await Promise.all([
    import('./observability/admin-view.ts'),
    import('./observability/incidents.ts'),
    import('./observability/metrics.ts'),
    import('./http/admin/admin-routes.ts'),
    import('./observability/usage.ts'),
  ]);
  const { pool, targets, sharing, checks, measuresProcess = false } = parts;
  const { inspection, operator } = pool;
  // The personas of callers are reported only where callers may bring one.
  const takesPersonas = config.allowClientPersona || config.clientTokens.length > 0;
  const isReported = ({ metered, persona }: Target) =>
    metered && (persona !== 'callers' || takesPersonas);
  const reported = { targets: targets.filter(isReported), redis: sharing?.redis ?? null };
  const sharedStore = sharing?.sharedStore ?? null;
  const questions = sharedStore?.questions ?? null;
  const instance = (questions?.instance ?? randomUUID()).slice(0, 8);
  const usage = createUsageStats({ ...parts, prices });
  const atOtherAddress = new Set(
    parts.providers.filter((one) => one.hasOtherAddress?.(config)).map(({ name }) => name),
  );
  const view = createAdminView({
    ...parts,
    ...reported,
    ...{ inspection, operator, mode, questions, instance, measuresProcess, usage, prices, redact },
    ...{ lastCheckOf: checks.lastOf, checkWorkedAt: checks.workedAt, atOtherAddress },
    isClient: (name) => clients.get(name) !== null,
  });
  const metrics = createMetrics({ ...parts, measuresProcess, prices, usage });
  const alerts = await loadAlerts(config, { ...parts, instance });
  const incidents = new Incidents({ ...parts, ...view, instance, alerts });
  const requested = targets.filter(({ use }) => use === 'chat' || use === 'embeddings');
  const modelNames = [...servedModels(requested, config.modelAliases).keys()];
  const http = createAdminHttp({
    ...parts,
    ...{ token, clients, view, metrics, usage, incidents, alerts },
    ...{ sharedStore, cooldownMs, modelNames, redact },
  });
  return {
    http,
    sinks: [...view.sinks, metrics.sink, usage.sink],
    start: () => incidents.start(),
    async stop() {
      await Promise.all([usage.stop(), alerts?.stop()]);
      await incidents.stop();
    },
  };
}

/** Null without `ALERT_WEBHOOK_URL`: its code is not loaded then. */
async function loadAlerts(
  { alertWebhook }: Config,
  parts: Pick<AlertsOptions, 'clock' | 'log' | 'instance'>,
) {
  if (alertWebhook === null) return null;
  const { createAlerts } = await import('./observability/alerts.ts');
  return createAlerts({ ...parts, ...alertWebhook });
}

/** OpenTelemetry's SDK is loaded only where spans are exported. */
async function loadOtel({ exportsSpans }: Config, options: OtelOptions) {
  if (!exportsSpans) return { tracing: null, sinks: [], stop: async () => {} };
  const { createOtel } = await import('./observability/otel.ts');
  const otel = createOtel(options);
  return { tracing: otel, sinks: [otel.sink], stop: otel.stop };
}

interface ServiceParts {
  readonly failover: Failover;
  readonly upstream: UpstreamContext;
  readonly registry: KeyRegistry;
}

/** The use cases, with the targets that may be asked for. */
function createServices(
  config: Config,
  { providers, targets, sharing, clock }: Parts,
  { failover, upstream, registry }: ServiceParts,
) {
  const clients = new Map(
    providers.flatMap(({ name, createChat }) =>
      createChat === undefined ? [] : [[name, createChat(config, upstream)]],
    ),
  );
  const chatTargets = targets.filter(
    ({ provider, use }) => use === 'chat' && clients.has(provider),
  );
  const aliases = config.modelAliases;
  const chat = { failover, clients, targets: chatTargets, aliases };
  const embeddingTargets = targets.filter(({ use }) => use === 'embeddings');
  const relay = createRelay({
    failover,
    aliases,
    clients: new Map([
      [google.name, createGeminiRelay({ ...upstream, baseUrl: config.googleBaseUrl })],
    ]),
    targets: targets.filter(({ provider }) => provider === google.name),
  });
  return {
    chatTargets,
    embeddingTargets,
    chat: createChat({
      ...chat,
      systemPrompt: config.systemPrompt,
      searches: config.chatGrounding,
    }),
    completions: createChat({ ...chat, systemPrompt: null, searches: false }),
    embed: createEmbed({
      failover,
      clients: new Map(
        providers.flatMap(({ name, createEmbeddings }) =>
          createEmbeddings === undefined ? [] : [[name, createEmbeddings(config, upstream)]],
        ),
      ),
      targets: embeddingTargets,
      aliases,
    }),
    relay,
    countTokens: createTokenCount(relay, servedModels(chatTargets, aliases), toCountRequest),
    liveTokens: liveTokensFor(config, failover, targets, upstream),
    avatar: createAvatarSession({
      ...config,
      failover,
      provider: anam,
      targets: targets.filter(({ provider }) => provider === anam.name),
      anam: createAnam({ ...upstream, baseUrl: config.anamBaseUrl }),
      keys: registry,
      clock,
      texts: sharing?.sharedStore.texts ?? null,
    }),
  };
}

/** Null without a model for Live sessions. */
function liveTokensFor(
  { googleLiveModel: model, systemPrompt, googleBaseUrl: baseUrl }: Config,
  failover: Failover,
  targets: readonly Target[],
  upstream: UpstreamContext,
) {
  if (model === null) return null;
  return createLiveTokens({
    failover,
    client: createLiveTokenClient({ ...upstream, baseUrl }),
    target: targetWhere(targets, ({ use }) => use === 'live'),
    setup: { model, systemPrompt },
  });
}

const START_CHECK_LIMIT_MS = 600_000;
const MAX_BAD_KEYS_NAMED = 20;

async function checkAtStart(
  { checkKeys }: Config,
  checks: KeyChecks,
  pool: KeyPool,
  { report = () => {} }: Runtime,
): Promise<void> {
  if (!checkKeys) return;
  const checked = await checks.checkAll(pool.keys, START_CHECK_LIMIT_MS);
  const bad = checked.filter(({ check }) => check.verdict !== 'works');
  for (const { key, check } of bad.slice(0, MAX_BAD_KEYS_NAMED)) {
    report(`check: ${key.id}: ${check.sentence}`);
  }
  const more = bad.length - MAX_BAD_KEYS_NAMED;
  if (more > 0) report(`check: ${more} more keys do not work.`);
}
