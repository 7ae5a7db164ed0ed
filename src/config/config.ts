import type { ApiKey, Persona } from '../shared/api-key.ts';
import type { ProviderFacts } from '../shared/provider.ts';
import { Secret } from '../shared/secret.ts';
import { blankKeyWarnings } from './key-variables.ts';
import { findKeys } from './keys.ts';
import { warnOfNearMisses } from './near-misses.ts';
import { SETTINGS, type Settings } from './settings.ts';
import { cleanText } from './text.ts';
import { originWarnings } from './warnings.ts';

export interface Config {
  readonly mode: 'live' | 'demo';
  readonly isProduction: boolean;
  /** 0 takes any free port. */
  readonly port: number;
  readonly host: string;
  /** In the order of the providers; each in numeric order, the unnumbered one first. */
  readonly keys: readonly ApiKey[];
  /** For the start-up log: one sentence each, and never a secret. */
  readonly warnings: readonly string[];
  /** The first is the default, the rest stand in for it in this order. */
  readonly googleModels: readonly [string, ...string[]];
  readonly systemPrompt: string | null;
  readonly persona: Persona | null;
  readonly allowClientPersona: boolean;
  /** Base URLs end before the API's version and without a slash. */
  readonly googleBaseUrl: string;
  readonly anamBaseUrl: string;
  readonly cooldownMs: number;
  readonly keyWaitMs: number;
  readonly requestTimeoutMs: number;
  readonly attemptTimeoutMs: number;
  readonly streamIdleMs: number;
  /** `localhost` lets every port of this machine in; an empty list lets nobody in. */
  readonly corsOrigins: 'localhost' | readonly string[];
  /** Opens what is for whoever runs it; without one, that does not exist. */
  readonly adminToken: Secret | null;
  /** Of programs that may use the compatible routes; without any, these do not exist. */
  readonly clientTokens: readonly Secret[];
  /** For each client address; 0 is off. */
  readonly chatPerMinute: number;
  readonly sessionsPerMinute: number;
  /** How many proxies stand in front. */
  readonly trustProxy: number;
  /** The largest request body of the routes that are open to everybody. */
  readonly maxBodyBytes: number;
  /** The same for programs, which bring a token. */
  readonly maxProgramBodyBytes: number;
  /** Where several instances share what they know; null where this one is alone. */
  readonly redisUrl: Secret | null;
  /** Before every name there. */
  readonly redisPrefix: string;
  readonly logLevel: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent';
}

/**
 * Reads the settings once, at start-up. A blank variable counts as unset; others than ours are left
 * alone, with a warning where one looks like a key or is nearly a setting of ours.
 *
 * @throws ConfigError with every fault there is
 */
export function readConfig(
  environment: Readonly<Record<string, string | undefined>>,
  providers: readonly ProviderFacts<Config>[],
  mode: Config['mode'] = 'live',
): Config {
  const texts = readTexts(environment);
  const settings = SETTINGS.safeParse(Object.fromEntries(texts));
  const { keys, warnings, faults } = findKeys(texts, providers);
  const all = [
    ...faultsOf(settings.error),
    ...personaFaults(texts),
    ...misplacedKeys(texts, keys),
    ...adminTokenFaults(settings.data),
    ...workersFaults(texts),
    ...faults,
  ];
  if (!settings.success || all.length > 0) throw new ConfigError(all);
  const config = { mode, keys, warnings: [], ...toConfig(settings.data) };
  return {
    ...config,
    warnings: [
      ...blankKeyWarnings(environment, texts, providers),
      ...warnings,
      ...warnOfNearMisses(texts.keys(), SETTING_NAMES),
      ...providers.flatMap((provider) => provider.warningsFor(config)),
      ...originWarnings(config),
    ],
  };
}

/** Each fault is `NAME: what is wrong`, without the value. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(faults.join('\n'));
    this.faults = faults;
  }
}

/** A prompt may begin and end with quotes of its own. */
const KEEPS_ITS_QUOTES = 'SYSTEM_PROMPT';

function readTexts(environment: Readonly<Record<string, string | undefined>>) {
  const texts = new Map<string, string>();
  for (const [name, raw = ''] of Object.entries(environment)) {
    const text = name === KEEPS_ITS_QUOTES ? raw.trim() : cleanText(raw);
    if (text !== '') texts.set(name, text);
  }
  return texts;
}

const SETTING_NAMES = Object.keys(SETTINGS.shape);

/** Shorter texts could be part of anything. */
const MIN_KEY_LENGTH = 12;

/** A key on another setting's line would be shown with it: models are listed, addresses are logged. */
function misplacedKeys(texts: ReadonlyMap<string, string>, keys: readonly ApiKey[]) {
  const secrets = keys
    .map(({ secret }) => secret.reveal())
    .filter(({ length }) => length >= MIN_KEY_LENGTH);
  return SETTING_NAMES.filter((name) => {
    const text = texts.get(name) ?? '';
    return text !== '' && secrets.some((secret) => text.includes(secret));
  }).map((name) => `${name}: holds a key, which belongs in a variable of its own.`);
}

type SettingsError = ReturnType<typeof SETTINGS.safeParse>['error'];

const faultsOf = (error: SettingsError): readonly string[] =>
  error?.issues.map(({ path, message }) => `${String(path[0])}: ${message}.`) ?? [];

const personaFaults = (texts: ReadonlyMap<string, string>): readonly string[] =>
  texts.has('ANAM_PERSONA_ID') && texts.has('ANAM_PERSONA_CONFIG')
    ? ['ANAM_PERSONA_CONFIG: is set together with ANAM_PERSONA_ID; keep one of the two.']
    : [];

/** Programs would be let in to everything. */
const adminTokenFaults = (settings: Settings | undefined): readonly string[] =>
  settings?.CLIENT_TOKENS.some((token) => token === settings.ADMIN_TOKEN)
    ? ['ADMIN_TOKEN: is one of CLIENT_TOKENS; it needs a text of its own.']
    : [];

/** A removed setting; to ignore it would leave cores idle without a word. */
const workersFaults = (texts: ReadonlyMap<string, string>): readonly string[] =>
  texts.has('WORKERS')
    ? [
        'WORKERS: is no longer a setting: one process serves; for more cores run more instances with the same REDIS_URL (docs/scaling.md).',
      ]
    : [];

const MEGABYTE = 2 ** 20;

function toConfig(settings: Settings): Omit<Config, 'mode' | 'keys' | 'warnings'> {
  const isProduction = settings.NODE_ENV === 'production';
  return {
    isProduction,
    port: settings.PORT,
    host: settings.HOST,
    googleModels: settings.GOOGLE_MODELS,
    systemPrompt: settings.SYSTEM_PROMPT,
    persona: toPersona(settings),
    allowClientPersona: settings.ALLOW_CLIENT_PERSONA,
    googleBaseUrl: settings.GOOGLE_BASE_URL,
    anamBaseUrl: settings.ANAM_BASE_URL,
    cooldownMs: settings.KEY_COOLDOWN_SECONDS,
    keyWaitMs: settings.KEY_WAIT_SECONDS,
    requestTimeoutMs: settings.REQUEST_TIMEOUT_SECONDS,
    attemptTimeoutMs: settings.ATTEMPT_TIMEOUT_SECONDS,
    streamIdleMs: settings.STREAM_IDLE_SECONDS,
    corsOrigins: settings.CORS_ORIGINS ?? (isProduction ? [] : 'localhost'),
    adminToken:
      settings.ADMIN_TOKEN === null ? null : new Secret('admin-token', settings.ADMIN_TOKEN),
    clientTokens: settings.CLIENT_TOKENS.map(
      (token, index) => new Secret(`client-${index + 1}`, token),
    ),
    chatPerMinute: settings.RATE_LIMIT_CHAT,
    sessionsPerMinute: settings.RATE_LIMIT_SESSIONS,
    trustProxy: settings.TRUST_PROXY,
    maxBodyBytes: (settings.MAX_BODY_MB ?? 5) * MEGABYTE,
    maxProgramBodyBytes: (settings.MAX_BODY_MB ?? 20) * MEGABYTE,
    redisUrl: settings.REDIS_URL === null ? null : new Secret('redis', settings.REDIS_URL),
    redisPrefix: settings.REDIS_PREFIX,
    logLevel: settings.LOG_LEVEL,
  };
}

function toPersona({ ANAM_PERSONA_ID: personaId, ANAM_PERSONA_CONFIG: config }: Settings) {
  if (personaId !== undefined) return { personaId };
  return config === undefined ? null : { config };
}
