import { SERVICES, type Service } from '../shared/api-key.ts';
import type { Config } from './config.ts';

type Reported = Pick<
  Config,
  | 'keys'
  | 'warnings'
  | 'googleModels'
  | 'persona'
  | 'allowClientPersona'
  | 'adminToken'
  | 'redisUrl'
  | 'redisPrefix'
>;

/** So many keys are named; of more, the number says enough. */
const MAX_NAMED = 10;

/** One readable line for each service, one for whoever is on call, one for other instances, and one for what else looks wrong. */
export function startReport(config: Reported): readonly string[] {
  const warningsOf = (whose: Service | null) =>
    config.warnings.filter((warning) => serviceIn(warning) === whose);
  const services = SERVICES.map((service) =>
    [`${service}: ${describeKeys(config, service)}`, ...warningsOf(service)].join(' '),
  );
  const others = warningsOf(null);
  return [
    ...services,
    `on call: ${config.adminToken === null ? WITHOUT_ADMIN : WITH_ADMIN}`,
    ...otherInstances(config),
    ...(others.length === 0 ? [] : [`settings: ${others.join(' ')}`]),
  ];
}

const WITH_ADMIN = '/dashboard, /playground, /metrics and /api/keys, with the ADMIN_TOKEN.';
const WITHOUT_ADMIN = 'no dashboard and no metrics. Set ADMIN_TOKEN to have them.';

/** Without the user and the password. */
function otherInstances({ redisUrl, redisPrefix }: Reported): readonly string[] {
  if (redisUrl === null) return [];
  const { host } = new URL(redisUrl.reveal());
  return [`instances: share what they know through Redis at ${host}, under ${redisPrefix}`];
}

/** The one service whose variables a warning names. */
function serviceIn(warning: string): Service | null {
  const named = SERVICES.filter((service) => warning.includes(`${service.toUpperCase()}_`));
  const [only] = named;
  return named.length === 1 && only !== undefined ? only : null;
}

function describeKeys(config: Reported, service: Service): string {
  const keys = config.keys.filter((key) => key.service === service);
  if (keys.length === 0) return WITHOUT_KEYS[service];
  const projects = new Set(keys.map(({ project }) => project)).size;
  const named = keys.slice(0, MAX_NAMED).map(({ id }) => id);
  const ids = keys.length > MAX_NAMED ? [...named, '…'] : named;
  const found = `${count(keys.length, 'key')} (${ids.join(', ')}) in ${count(projects, 'project')}`;
  return `${found}; ${USES[service](config)}.`;
}

const WITHOUT_KEYS: Record<Service, string> = {
  google: 'no key, so every chat is refused. Set GOOGLE_API_KEY.',
  anam: 'no key, so there is no avatar. Set ANAM_API_KEY if there is to be one.',
};

const USES: Record<Service, (config: Reported) => string> = {
  google: ({ googleModels: [first, ...others] }) =>
    [`answers with ${first}`, ...others.map((model) => `then ${model}`)].join(', '),
  anam: ({ persona, allowClientPersona }) => {
    const ours = persona === null ? 'no persona for all keys' : 'a persona for all keys';
    return allowClientPersona ? `${ours}, and callers may bring their own` : ours;
  },
};

const count = (number: number, thing: string) => `${number} ${thing}${number === 1 ? '' : 's'}`;
