import type { ProviderFacts } from '../shared/provider-facts.ts';
import type { Config } from './config.ts';

type Provider = ProviderFacts<Config>;

const MAX_NAMED = 10;

/** One line for each provider, one for pages with more than text, one for the operator, then for the shared store and for other warnings. */
export function startReport(config: Config, providers: readonly Provider[]): readonly string[] {
  const warningsOf = (whose: Provider | null) =>
    config.warnings.filter((warning) => providerIn(warning, providers) === whose);
  const keys = providers.map((provider) =>
    [`${provider.name}: ${describeKeys(config, provider)}`, ...warningsOf(provider)].join(' '),
  );
  const others = warningsOf(null);
  return [
    ...keys,
    ...pageFeatures(config),
    `on call: ${config.adminToken === null ? WITHOUT_ADMIN : WITH_ADMIN}`,
    ...otherInstances(config),
    ...(others.length === 0 ? [] : [`settings: ${others.join(' ')}`]),
  ];
}

/** What pages with the AI SDK get beyond text and files. */
function pageFeatures({ chatTools, chatReasoning, chatGrounding, chatResume }: Config): string[] {
  const parts = [
    ...(chatTools.length === 0 ? [] : [count(chatTools.length, 'tool')]),
    ...(chatReasoning ? ['thoughts'] : []),
    ...(chatGrounding ? ['sources of a search'] : []),
    ...(chatResume ? ['answers that a reload resumes'] : []),
  ];
  return parts.length === 0 ? [] : [`useChat: ${parts.join(', ')}`];
}

const WITH_ADMIN = '/dashboard, /playground, /metrics and /api/keys, with the ADMIN_TOKEN.';
const WITHOUT_ADMIN = 'no dashboard and no metrics. Set ADMIN_TOKEN to have them.';

/** Without the user and the password. */
function otherInstances({ redisUrl, redisPrefix }: Config): readonly string[] {
  if (redisUrl === null) return [];
  const { host } = new URL(redisUrl.reveal());
  return [`instances: share what they know through Redis at ${host}, under ${redisPrefix}`];
}

/** The one provider whose variables a warning names. */
function providerIn(warning: string, providers: readonly Provider[]): Provider | null {
  const named = providers.filter(({ prefix }) => warning.includes(`${prefix}_`));
  const [only] = named;
  return named.length === 1 && only !== undefined ? only : null;
}

function describeKeys(config: Config, provider: Provider): string {
  const keys = config.keys.filter((key) => key.provider === provider.name);
  if (keys.length === 0) return keepsKeys(config) ? ONLY_STORED : provider.withoutKeys;
  const projects = new Set(keys.map(({ project }) => project)).size;
  const named = keys.slice(0, MAX_NAMED).map(({ id }) => id);
  const ids = keys.length > MAX_NAMED ? [...named, '…'] : named;
  const found = `${count(keys.length, 'key')} (${ids.join(', ')}) in ${count(projects, 'project')}`;
  return `${found}; ${provider.describeUse(config)}.`;
}

/** How many those are is reported once the store has been read. */
const ONLY_STORED = 'no key in the settings; those of the store are used.';

const keepsKeys = ({ masterKey, redisUrl, dataDir }: Config) =>
  masterKey !== null && (redisUrl !== null || dataDir !== null);

const count = (number: number, thing: string) => `${number} ${thing}${number === 1 ? '' : 's'}`;
