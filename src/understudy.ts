import { Agent } from 'undici';
import { loadAdmin } from './admin.ts';
import type { Config } from './config.ts';
import { createApp } from './http/app.ts';
import { drain } from './http/drain.ts';
import { createHttpServer, listen } from './http/server.ts';
import { KeyPool } from './pool/key-pool.ts';
import { createAvatarSession } from './service/avatar-session.ts';
import { createChat } from './service/chat.ts';
import { createFailover } from './service/failover.ts';
import { observeAll } from './service/observer.ts';
import { AVATAR_LANES } from './service/persona-for.ts';
import { createRelay, UNMETERED_LANE } from './service/relay.ts';
import { createRequestLog } from './service/request-log.ts';
import { createWaitingLines } from './service/waiting-line.ts';
import { loadShare } from './share.ts';
import type { Clock } from './shared/clock.ts';
import type { Logger } from './shared/logger.ts';
import { createRedact, type Redact } from './shared/redact.ts';
import { Secret } from './shared/secret.ts';
import type { Anam, AnamOptions } from './upstream/anam.ts';
import { createGemini } from './upstream/gemini.ts';
import { createGeminiRelay } from './upstream/gemini-relay.ts';

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
  const lines = createWaitingLines(clock);
  const requestLog = createRequestLog(log, pool.inspection);
  const admin = await loadAdmin(config, {
    pool,
    lanes,
    lines,
    sharing: share,
    clock,
    log,
    redact,
    measuresProcess,
  });
  const observer = observeAll([requestLog, ...(admin?.observers ?? [])]);
  const failover = createFailover({ ...config, pool, clock, random, lines, observer });
  const dispatcher = new Agent({ bodyTimeout: 0, headersTimeout: 0 });
  const upstream = { redact, now: clock.now };
  const google = { ...upstream, baseUrl: config.googleBaseUrl, dispatcher };
  const models = config.googleModels;
  const chat = { failover, stream: createGemini(google), models };
  const app = createApp({
    ...config,
    admin,
    log,
    clock,
    counts: (service) => pool.inspection.counts(service),
    redis: share === null ? null : share.redis,
    common: share?.common ?? null,
    models,
    chat: createChat({ ...chat, systemPrompt: config.systemPrompt }),
    completions: createChat({ ...chat, systemPrompt: null }),
    relay: createRelay({ failover, relay: createGeminiRelay(google), models }),
    avatar: createAvatarSession({
      failover,
      anam: await loadAnam(config, upstream),
      clock,
      keys: config.keys,
      shelf: share?.common.shelf ?? null,
      persona: config.persona,
      hasPersona: config.persona !== null || config.keys.some((key) => key.personaId !== undefined),
    }),
  });
  await share?.join(pool, lines);
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
  const { createAnam } = await import('./upstream/anam.ts');
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
