import { BlockList, isIP } from 'node:net';
import type { ApiKey, Persona } from '../shared/api-key.ts';
import { cleanText } from '../shared/key-text.ts';
import type { ProviderFacts } from '../shared/provider-facts.ts';
import { createRedact, type Redact, type Redactor } from '../shared/redact.ts';
import { Secret } from '../shared/secret.ts';
import { blankKeyWarnings, findKeys } from './keys.ts';
import { readSecretFiles, type SecretFiles } from './secret-files.ts';
import { SETTINGS, type Settings } from './settings.ts';

export interface Config extends Readonly<ReturnType<typeof toConfig>> {
  readonly mode: 'live' | 'demo';
  /** In the order of the providers; each in numeric order, the unnumbered one first. */
  readonly keys: readonly ApiKey[];
  /** The ids of the keys whose text comes from a file. */
  readonly fileKeys: ReadonlySet<string>;
  /** Reads the files of keys again; null where no key comes from a file. */
  readonly readKeysAgain: (() => Promise<KeysNow>) | null;
  /** For the start-up log: one sentence each, and never a secret. */
  readonly warnings: readonly string[];
  /** Hides every secret of the settings, and those that it learns later. */
  readonly redact: Redact;
  readonly learnSecrets: Redactor['learn'];
}

/** The keys of variables and files as they are now. */
export interface KeysNow extends Pick<Config, 'keys' | 'fileKeys'> {
  /** What could not be read: one sentence each, and never a secret. */
  readonly faults: readonly string[];
}

/**
 * Reads the settings once, at start-up. A blank variable counts as unset. Unknown variables are ignored,
 * with a warning where one looks like a key or is nearly the name of a setting.
 *
 * @throws ConfigError with all faults
 */
export function readConfig(
  environment: Readonly<Record<string, string | undefined>>,
  providers: readonly ProviderFacts<Config>[],
  mode: Config['mode'] = 'live',
): Config {
  const variables = readTexts(environment);
  const files = readSecretFiles(variables, providers);
  const texts = withFiles(variables, files);
  const settings = SETTINGS.safeParse(Object.fromEntries(texts));
  const { keys, fileKeys, warnings, faults } = findKeys(texts, providers, files.texts);
  const all = [
    ...files.faults,
    ...faultsOf(settings.error),
    ...personaFaults(texts),
    ...misplacedKeys(texts, keys),
    ...adminTokenFaults(settings.data),
    ...masterKeyFaults(settings.data),
    ...alertFaults(settings.data),
    ...modelFaults(settings.data),
    ...bodiesFaults(settings.data),
    ...workersFaults(texts),
    ...faults,
  ];
  if (!settings.success || all.length > 0) throw new ConfigError(all);
  const found = toConfig(settings.data);
  const { redact, learn: learnSecrets } = redactSecretsOf(found, keys);
  const readKeysAgain = createReadAgain(variables, files, { keys, fileKeys }, providers);
  const base = { mode, keys, fileKeys, readKeysAgain, redact, learnSecrets };
  const config = { ...base, warnings: [], ...found };
  return {
    ...config,
    warnings: [
      ...blankKeyWarnings(environment, texts, providers),
      ...warnings,
      ...warnOfNearMisses(texts.keys(), SETTING_NAMES),
      ...providers.flatMap((provider) => provider.warningsFor?.(config) ?? []),
      ...originWarnings(config),
      ...clearTextWarnings(config),
      ...groundingWarnings(config),
      ...storeWarnings(config),
      ...priceWarnings(config),
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

/** A prompt may begin and end with quotes that belong to it. */
const KEEPS_ITS_QUOTES = 'SYSTEM_PROMPT';

function readTexts(environment: Readonly<Record<string, string | undefined>>) {
  const texts = new Map<string, string>();
  for (const [name, raw = ''] of Object.entries(environment)) {
    const text = name === KEEPS_ITS_QUOTES ? raw.trim() : cleanText(raw);
    if (text !== '') texts.set(name, text);
  }
  return texts;
}

/** A file stands for its variable. */
function withFiles(
  variables: ReadonlyMap<string, string>,
  { texts, namedBy }: Pick<SecretFiles, 'texts' | 'namedBy'>,
): ReadonlyMap<string, string> {
  const merged = new Map([...variables, ...texts]);
  for (const name of namedBy) merged.delete(name);
  return merged;
}

function createReadAgain(
  variables: ReadonlyMap<string, string>,
  { readAgain, namedBy }: SecretFiles,
  atStart: Pick<Config, 'keys' | 'fileKeys'>,
  providers: readonly ProviderFacts<Config>[],
): Config['readKeysAgain'] {
  if (readAgain === null) return null;
  let last = atStart;
  return async () => {
    const { texts, faults: unread } = await readAgain();
    const found = findKeys(withFiles(variables, { texts, namedBy }), providers, texts);
    const faults = [
      ...unread,
      ...found.faults.map((fault) => `${fault} All keys stay as they were.`),
    ];
    if (found.faults.length === 0) last = { keys: found.keys, fileKeys: found.fileKeys };
    return { ...last, faults };
  };
}

const SETTING_NAMES = Object.keys(SETTINGS.shape);

/** A shorter text may be part of another value by chance. */
const MIN_KEY_LENGTH = 12;

/** Other settings are shown: models are listed, addresses are logged. */
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

/** A client token would open the operator's routes. */
const adminTokenFaults = (settings: Settings | undefined): readonly string[] =>
  settings?.CLIENT_TOKENS.some((token) => token === settings.ADMIN_TOKEN)
    ? ['ADMIN_TOKEN: is one of CLIENT_TOKENS; it needs a text of its own.']
    : [];

/** `MASTER_KEY` must differ from every token: more people know those. */
const masterKeyFaults = (settings: Settings | undefined): readonly string[] =>
  [settings?.ADMIN_TOKEN, ...(settings?.CLIENT_TOKENS ?? [])].some(
    (token) => token !== null && token !== undefined && token === settings?.MASTER_KEY,
  )
    ? ['MASTER_KEY: is ADMIN_TOKEN or one of CLIENT_TOKENS; it needs a text of its own.']
    : [];

/** Incidents are part of what the admin token opens. */
const alertFaults = (settings: Settings | undefined): readonly string[] =>
  settings !== undefined && settings.ALERT_WEBHOOK_URL !== null && settings.ADMIN_TOKEN === null
    ? ['ALERT_WEBHOOK_URL: needs an ADMIN_TOKEN; without one there are no incidents.']
    : [];

/** Checks the settings that refer to models of other settings. No value is named: it may be a key on the wrong line. */
function modelFaults(settings: Settings | undefined): readonly string[] {
  if (settings === undefined) return [];
  const { GOOGLE_MODELS, GOOGLE_EMBEDDING_MODELS, GOOGLE_LIMITS, MODEL_ALIASES } = settings;
  const served = new Set([...GOOGLE_MODELS, ...GOOGLE_EMBEDDING_MODELS]);
  const none = 'none of GOOGLE_MODELS and GOOGLE_EMBEDDING_MODELS.';
  return [
    ...GOOGLE_EMBEDDING_MODELS.map((model, index) =>
      GOOGLE_MODELS.includes(model)
        ? `GOOGLE_EMBEDDING_MODELS: entry ${index + 1} is one of GOOGLE_MODELS; no model does both.`
        : null,
    ),
    ...[...GOOGLE_LIMITS.keys()].map((model, index) =>
      served.has(model) ? null : `GOOGLE_LIMITS: entry ${index + 1} names ${none}`,
    ),
    ...[...MODEL_ALIASES].flatMap(([alias, model], index) => [
      served.has(alias)
        ? `MODEL_ALIASES: entry ${index + 1} has the name of a served model as its alias.`
        : null,
      served.has(model) ? null : `MODEL_ALIASES: entry ${index + 1} leads to ${none}`,
    ]),
  ].filter((fault) => fault !== null);
}

/**
 * How much memory a body takes for each of its bytes while its request is in flight: once as the values that were
 * parsed, twice if they are texts beyond Latin-1, and once as the request to the provider. Measured: 2.0 with images,
 * 2.5 with texts. Reading a body takes no more, and only one is parsed at a time.
 */
const BODY_MEMORY_FACTOR = 3;
const DEFAULT_BODIES_MB = 256;

/** There must be room for one body of the largest size. */
const leastBodiesMb = ({ MAX_BODY_MB }: Settings) => BODY_MEMORY_FACTOR * MAX_BODY_MB;

const bodiesMb = (settings: Settings) =>
  settings.MAX_BODIES_MB ?? Math.max(DEFAULT_BODIES_MB, leastBodiesMb(settings));

const bodiesFaults = (settings: Settings | undefined): readonly string[] =>
  settings !== undefined && bodiesMb(settings) < leastBodiesMb(settings)
    ? [`MAX_BODIES_MB: must be at least ${BODY_MEMORY_FACTOR} times MAX_BODY_MB.`]
    : [];

/** A removed setting: if it were ignored, cores would stay idle without a notice. */
const workersFaults = (texts: ReadonlyMap<string, string>): readonly string[] =>
  texts.has('WORKERS')
    ? [
        'WORKERS: is no longer a setting: one process serves; for more cores run more instances with the same REDIS_URL (docs/scaling.md).',
      ]
    : [];

const MEGABYTE = 2 ** 20;

function toConfig(settings: Settings) {
  const isProduction = settings.NODE_ENV === 'production';
  const secret = (id: string, text: string | null) => (text === null ? null : new Secret(id, text));
  return {
    isProduction,
    /** 0 takes any free port. */
    port: settings.PORT,
    host: settings.HOST,
    /** The first is the default, the rest stand in for it in this order. */
    googleModels: settings.GOOGLE_MODELS,
    /** Empty where there can be no client: every request for embeddings needs a client's token. */
    googleEmbeddingModels:
      settings.CLIENT_TOKENS.length === 0 && settings.ADMIN_TOKEN === null
        ? []
        : settings.GOOGLE_EMBEDDING_MODELS,
    /** The name of the model, by its alias. */
    modelAliases: settings.MODEL_ALIASES,
    /** By model: the limits of every project. */
    googleLimits: settings.GOOGLE_LIMITS,
    /** The model of Live sessions; null where Live tokens are off. */
    googleLiveModel: settings.GOOGLE_LIVE_MODEL,
    systemPrompt: settings.SYSTEM_PROMPT,
    /** The tools that the model may call in pages with the AI SDK. */
    chatTools: settings.CHAT_TOOLS,
    /** Whether the AI SDK's stream carries the model's thoughts. */
    chatReasoning: settings.CHAT_REASONING,
    /** Whether the model may search the web. */
    chatGrounding: settings.CHAT_GROUNDING,
    persona: toPersona(settings),
    /** How the avatar performs our persona, in Anam's form. */
    directorNotes: settings.ANAM_DIRECTOR_NOTES,
    /** The options of every avatar session, in Anam's form. No caller can change them. */
    sessionOptions: settings.ANAM_SESSION_OPTIONS,
    /** The name of this server's sessions in Anam's lists. */
    clientLabel: settings.ANAM_CLIENT_LABEL,
    allowClientPersona: settings.ALLOW_CLIENT_PERSONA,
    /** Whether an answer of `useChat` goes on for a minute without its reader. */
    chatResume: settings.CHAT_RESUME,
    /** Base URLs end before the API's version and without a slash. */
    googleBaseUrl: settings.GOOGLE_BASE_URL,
    anamBaseUrl: settings.ANAM_BASE_URL,
    cooldownMs: settings.KEY_COOLDOWN_SECONDS,
    keyWaitMs: settings.KEY_WAIT_SECONDS,
    requestTimeoutMs: settings.REQUEST_TIMEOUT_SECONDS,
    attemptTimeoutMs: settings.ATTEMPT_TIMEOUT_SECONDS,
    streamIdleMs: settings.STREAM_IDLE_SECONDS,
    /** `localhost` allows every port of this machine; an empty list allows no other origin. */
    corsOrigins: settings.CORS_ORIGINS ?? (isProduction ? [] : ('localhost' as const)),
    /** Opens the operator's routes; without one they do not exist. */
    adminToken: secret('admin-token', settings.ADMIN_TOKEN),
    /** Of programs that may use the compatible routes; more can be made at run time, with an admin token. */
    clientTokens: settings.CLIENT_TOKENS.map(
      (token, index) => new Secret(`client-${index + 1}`, token),
    ),
    /** What the operator pays for each model. Null without `PRICES`. */
    prices: settings.PRICES,
    /** For each client address; 0 is off. */
    chatPerMinute: settings.RATE_LIMIT_CHAT,
    sessionsPerMinute: settings.RATE_LIMIT_SESSIONS,
    /** The number of proxies in front of this server. */
    trustProxy: settings.TRUST_PROXY,
    /** The largest request body. */
    maxBodyBytes: settings.MAX_BODY_MB * MEGABYTE,
    /** The largest size of all request bodies in flight together. */
    maxBodiesBytes: Math.floor(bodiesMb(settings) * (MEGABYTE / BODY_MEMORY_FACTOR)),
    /** The store that several instances share; null for a single instance. */
    redisUrl: secret('redis', settings.REDIS_URL),
    /** What every name in Redis begins with. */
    redisPrefix: settings.REDIS_PREFIX,
    /** The folder of the durable store. It is not used with a `redisUrl`. */
    dataDir: settings.DATA_DIR,
    /** Seals the secrets in the store. */
    masterKey: secret('master-key', settings.MASTER_KEY),
    /** Whether every key is checked at the start. */
    checkKeys: settings.CHECK_KEYS,
    /** Whether spans are exported; OpenTelemetry's SDK reads the address itself. */
    exportsSpans: settings.OTEL_EXPORTER_OTLP_ENDPOINT !== null,
    /** Where incidents are announced; null for nowhere. */
    alertWebhook: toWebhook(settings),
    logLevel: settings.LOG_LEVEL,
  };
}

const SLACK_HOST = 'hooks.slack.com';

function toWebhook(settings: Settings) {
  const { ALERT_WEBHOOK_URL: url, ALERT_WEBHOOK_SECRET: key, ALERT_WEBHOOK_FORM: form } = settings;
  if (url === null) return null;
  return {
    url: new Secret('alert-webhook', url),
    /** Signs the messages; null leaves them without a signature. */
    secret: key === null ? null : new Secret('alert-webhook-secret', key),
    form: form ?? (new URL(url).host === SLACK_HOST ? ('slack' as const) : ('json' as const)),
  };
}

function toPersona(settings: Settings): Persona | null {
  const { ANAM_PERSONA_ID: personaId, ANAM_PERSONA_CONFIG: config } = settings;
  if (personaId !== undefined) return { personaId };
  return config === undefined ? null : { config };
}

/** Shorter names are near to too many others. */
const MIN_LENGTH = 8;

/** Warns of names that are nearly a setting and therefore not read: `CORS_ORIGIN`, `KEY_COOLDOWN`. */
function warnOfNearMisses(names: Iterable<string>, known: readonly string[]): readonly string[] {
  return [...names].flatMap((name) => {
    const meant = known.includes(name) ? undefined : known.find((ours) => isNear(name, ours));
    return meant === undefined ? [] : [`${name} is not read: did you mean ${meant}?`];
  });
}

const isNear = (name: string, ours: string) =>
  name.length >= MIN_LENGTH &&
  ours.length >= MIN_LENGTH &&
  (ours.startsWith(`${name}_`) || isOneTypoAway(name, ours));

/** Between the common beginning and the common end is one letter at most. */
function isOneTypoAway(a: string, b: string): boolean {
  const shorter = Math.min(a.length, b.length);
  let start = 0;
  while (start < shorter && a[start] === b[start]) start += 1;
  let end = 0;
  while (end < shorter - start && a.at(-1 - end) === b.at(-1 - end)) end += 1;
  return Math.max(a.length, b.length) - start - end <= 1;
}

/** In production other origins are refused by default, which looks like a broken server. */
function originWarnings({ isProduction, corsOrigins }: Config): readonly string[] {
  if (!isProduction || corsOrigins.length > 0) return [];
  return ["CORS_ORIGINS is not set: only pages of this server's own origin may call it."];
}

/** Without TLS, anybody on the network can read the keys. */
const clearTextWarnings = ({ googleBaseUrl, anamBaseUrl }: Config): readonly string[] =>
  Object.entries({ GOOGLE_BASE_URL: googleBaseUrl, ANAM_BASE_URL: anamBaseUrl })
    .filter(([, url]) => url.startsWith('http:') && !isPrivateHost(new URL(url).hostname))
    .map(
      ([name]) =>
        `${name} begins with http:// and leads out of the private network: keys and chats travel in clear text. Use https://.`,
    );

/** A request with both needs a form of the conversation that not every model accepts. */
const groundingWarnings = ({ chatGrounding, chatTools }: Config): readonly string[] =>
  chatGrounding && chatTools.length > 0
    ? ['CHAT_GROUNDING does not apply to the requests that offer CHAT_TOOLS.']
    : [];

/** A price under a name that is not asked for is never used. */
function priceWarnings({ prices, googleModels, googleEmbeddingModels }: Config): readonly string[] {
  const served = [...googleModels, ...googleEmbeddingModels];
  const unpriced = prices === null ? [] : served.filter((model) => !prices.models.has(model));
  return unpriced.length === 0
    ? []
    : [`PRICES has no price for ${unpriced.join(', ')}: the costs lack them.`];
}

/** @param host as a URL writes it; of a name only what is never a public one counts */
function isPrivateHost(host: string): boolean {
  const address = host.replace(/^\[|\]$/g, '');
  const family = isIP(address);
  if (family === 0) return PRIVATE_NAME.test(host);
  return PRIVATE.check(address, family === 6 ? 'ipv6' : 'ipv4');
}

function storeWarnings({ redisUrl, dataDir, masterKey }: ReturnType<typeof toConfig>) {
  if (redisUrl !== null && dataDir !== null)
    return ['DATA_DIR is not used: REDIS_URL has the store.'];
  const isUseless = masterKey !== null && redisUrl === null && dataDir === null;
  return isUseless ? ['MASTER_KEY is not used without REDIS_URL or DATA_DIR.'] : [];
}

/** `localhost`, a service of Docker or Kubernetes, a machine of the local network. */
const PRIVATE_NAME = /^(?:[^.]+|.+\.(?:localhost|local|internal))\.?$/;

/** This machine, private networks and link-local addresses. */
const PRIVATE = new BlockList();
for (const [network, prefix] of [
  ['0.0.0.0', 32],
  ['127.0.0.0', 8],
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['169.254.0.0', 16],
] as const) {
  PRIVATE.addSubnet(network, prefix);
}
PRIVATE.addSubnet('::', 127, 'ipv6');
PRIVATE.addSubnet('fc00::', 7, 'ipv6');
PRIVATE.addSubnet('fe80::', 10, 'ipv6');

const redactSecretsOf = (settings: ReturnType<typeof toConfig>, keys: readonly ApiKey[]) =>
  createRedact([
    ...passwordsIn(settings.redisUrl),
    ...secretsOf(settings.alertWebhook),
    ...keys.map(({ secret }) => secret),
    ...settings.clientTokens,
    ...[settings.adminToken, settings.masterKey].filter((secret) => secret !== null),
  ]);

/** The host may be named; a short part of the path could be part of anything. */
function secretsOf(webhook: ReturnType<typeof toWebhook>): readonly Secret[] {
  if (webhook === null) return [];
  const { pathname, searchParams } = new URL(webhook.url.reveal());
  const parts = [...pathname.split('/'), ...searchParams.values()].filter(
    ({ length }) => length >= MIN_KEY_LENGTH,
  );
  return [
    ...parts.map((part) => new Secret(webhook.url.id, part)),
    ...(webhook.secret === null ? [] : [webhook.secret]),
  ];
}

/** The rest of the address is no secret: it says which Redis is meant. */
function passwordsIn(redisUrl: Secret | null): readonly Secret[] {
  if (redisUrl === null) return [];
  const { password: written, searchParams } = new URL(redisUrl.reveal());
  // The client takes it from the query too.
  const sent = [decodeURIComponent(written), searchParams.get('password') ?? ''];
  // A shorter text could be part of anything, unless it stands in an address.
  const texts = [written, ...sent].filter(({ length }) => length >= MIN_PASSWORD_LENGTH);
  return [...texts, ...(written === '' ? [] : [`:${written}@`])].map(
    (text) => new Secret('redis', text),
  );
}

const MIN_PASSWORD_LENGTH = 6;
