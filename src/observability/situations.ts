import { DAY_MS, isoTime, MINUTE_MS } from '../shared/clock.ts';
import type { RedisState } from '../shared/shared-store.ts';
import { faultOfLast, isProvedByCheck, situationsOfCalls } from './call-situations.ts';
import { timeOf } from './key-report.ts';
import { situationsNeedingAction, situationsOfKeys } from './key-situations.ts';
import { SITUATION_KINDS, type Situation, type Verdict } from './reports.ts';
import { listOf, named, type ServiceFacts, situation, titleOf } from './situation.ts';
import {
  type ClientTroubles,
  type LimiterTroubles,
  type OtherModel,
  RECENT_MS,
  type RecentCount,
} from './troubles.ts';
/** What the verdict is made of. */
export interface SituationFacts {
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly services: readonly ServiceFacts[];
  /** Keys that needed action, were released, and have not answered since. */
  readonly unprovenKeys: readonly string[];
  /** Null without Redis. */
  readonly redis: RedisState | null;
  readonly store: StoreFacts;
  readonly limiter: LimiterTroubles;
  readonly clients: readonly ClientTroubles[];
  readonly bugs: RecentCount;
  readonly otherModels: readonly OtherModel[];
}

export interface StoreFacts {
  readonly kind: 'redis' | 'file' | 'memory';
  /** A sentence. Null: it works. */
  readonly fault: string | null;
}

/**
 * What is wrong now: whose fault it is, since when, until when, and what to do; the gravest first. Where the facts do not
 * say since when, `since` is now.
 */
export function verdictOn(facts: SituationFacts): Verdict {
  const found = situationsIn(facts);
  const has = (look: Situation['look']) => found.some((one) => one.look === look);
  const worst = has('bad') ? 'bad' : 'wait';
  if (has('bad') || has('wait')) return { look: worst, situations: found.toSorted(byGravity) };
  return { look: 'good', situations: [allWell(facts), ...found] };
}

const LOOKS: readonly Situation['look'][] = ['bad', 'wait', 'info'];

const byGravity = (one: Situation, other: Situation) =>
  LOOKS.indexOf(one.look) - LOOKS.indexOf(other.look) ||
  SITUATION_KINDS.indexOf(one.kind) - SITUATION_KINDS.indexOf(other.kind);

function situationsIn(facts: SituationFacts): readonly Situation[] {
  const { now, services } = facts;
  if (services.every(hasNoKeys)) return [withoutAnyKey(facts)];
  const ofServices = services.flatMap((service) => ofService(service, now));
  return [
    ...ofServices,
    ...ofReleases(facts),
    ...ofLimiter(facts),
    ...facts.clients.map((client) => ofClient(client, now)),
    ...ofBugs(facts),
    ...ofStores(facts, !ofServices.some(({ look }) => look === 'bad')),
    ...facts.otherModels.map((model) => ofOtherModel(model, facts)),
  ];
}

function allWell({ now, services }: SituationFacts): Situation {
  const isCooling = services.some(({ models }) =>
    models.some(({ states }) => states.some(({ state }) => state === 'cooling_down')),
  );
  const keys = isCooling
    ? 'Some keys are cooling down; others are available.'
    : 'All keys are available.';
  return situation(now, {
    ...{ kind: 'all_well', look: 'info', fault: null },
    sentence: keys,
    remedy: 'Nothing.',
  });
}

const hasNoKeys = ({ models: [first] }: ServiceFacts) => (first?.states.length ?? 0) === 0;

const withoutAnyKey = ({ now, services }: SituationFacts): Situation =>
  situation(now, {
    ...{ kind: 'no_keys', look: 'bad', fault: 'us' },
    sentence: 'No API key is configured: all requests are refused.',
    remedy: addKey(services.map(({ provider }) => `${provider.prefix}_API_KEY`).join(' or ')),
    untilText: 'a key is added',
  });

const addKey = (variable: string) => `Add a key on the dashboard, or set ${variable} and restart.`;

function ofService(service: ServiceFacts, now: number): readonly Situation[] {
  if (hasNoKeys(service)) return withoutKeys(service, now);
  const calls = situationsOfCalls(service, now);
  const ofKeys = situationsOfKeys(service, now);
  const isExplained = calls.length > 0 || ofKeys.some(({ look }) => look === 'bad');
  const refusals = isExplained ? [] : ofRefusals(service, now);
  const toFix = situationsNeedingAction(service, calls.length === 0, now);
  return [...calls, ...ofKeys, ...toFix, ...refusals];
}

/** A service that answers no chats may be left out. */
function withoutKeys(service: ServiceFacts, now: number): readonly Situation[] {
  const { name, prefix } = service.provider;
  if (service.models[0]?.target.use !== 'chat') return [];
  return [
    situation(now, {
      ...{ kind: 'no_keys', look: 'bad', fault: 'us', service: name },
      sentence: `No ${titleOf(service)} key is configured: every chat is refused.`,
      remedy: addKey(`${prefix}_API_KEY`),
      untilText: 'a key is added',
    }),
  ];
}

/** After this time without a further refusal it is over. */
const OVER_MS = 60_000;
const LATELY = 'within the last 15 minutes';

interface Lately {
  readonly count: number;
  /** Whether the last of them was a while ago. */
  readonly isPast: boolean;
  readonly isOver: boolean;
  /** `Requests were`, or `9 requests to Google were`. */
  readonly were: string;
  /** `within the last 15 minutes`, `until 2 minutes ago; it is over`, or `until 2 minutes ago; none was answered since`. */
  readonly when: string;
  readonly fields: Pick<Situation, 'look' | 'since' | 'until' | 'requestsAffected'>;
}

interface LatelyOptions {
  /** ` to Google`; default: empty. */
  readonly to?: string;
  /** Whether something shows that requests are not refused any more. Default: their absence does. */
  readonly isProved?: boolean;
}

/** The events of the last quarter of an hour; null without any. */
function lately(
  counts: readonly RecentCount[],
  now: number,
  { to = '', isProved = true }: LatelyOptions = {},
): Lately | null {
  const count = counts.reduce((sum, one) => sum + one.since(now - RECENT_MS, now), 0);
  if (count === 0) return null;
  const lastAt = Math.max(...counts.map((one) => one.lastAt));
  const minutes = Math.floor((now - lastAt) / 60_000);
  const isPast = now - lastAt >= OVER_MS;
  const isOver = isPast && isProved;
  const ago = minutes === 1 ? 'a minute ago' : `${minutes} minutes ago`;
  return {
    count,
    isPast,
    isOver,
    were: requestsWere(count, to, isOver),
    when: isPast ? `until ${ago}; ${isProved ? 'it is over' : 'none was answered since'}` : LATELY,
    fields: {
      look: isOver ? 'info' : 'wait',
      since: isoTime(Math.min(...counts.map((one) => one.firstAt(now)))),
      until: isOver ? isoTime(lastAt) : null,
      requestsAffected: count,
    },
  };
}

/** While it lasts, a count above ten is left to `requestsAffected`: screen readers read the sentence at each change. */
function requestsWere(count: number, to: string, isOver: boolean): string {
  if (!isOver && count > 10) return `Requests${to} were`;
  return count === 1 ? `1 request${to} was` : `${count} requests${to} were`;
}

function ofRefusals(service: ServiceFacts, now: number): readonly Situation[] {
  const { outOfKeys, failed, answeredSinceRefusal } = service.troubles;
  const to = ` to ${titleOf(service)}`;
  const [out = 0, broken = 0] = [outOfKeys, failed].map((one) => one.since(now - RECENT_MS, now));
  const isOutOfKeys = out >= broken;
  const isProved = answeredSinceRefusal > 0 || (!isOutOfKeys && isProvedByCheck(service));
  const recent = lately([outOfKeys, failed], now, { to, isProved });
  if (recent === null) return [];
  return [
    situation(now, {
      ...{ kind: 'refusals', service: service.provider.name, ...recent.fields },
      ...(recent.isPast && !isProved ? withoutAnswer(isOutOfKeys) : {}),
      ...(isOutOfKeys
        ? ({ cause: 'all_keys_exhausted', fault: 'quota' } as const)
        : { cause: 'upstream_failed', fault: faultOfLast(service) }),
      sentence: `${recent.were} refused or interrupted ${recent.when}.`,
      title: `Requests${to} were refused or interrupted.`,
      remedy: recent.isOver ? 'Nothing.' : 'Look at the refused requests: each shows its code.',
    }),
  ];
}

/** Keys that are available again are known to be; a provider that failed is not known to work. */
const withoutAnswer = (isOutOfKeys: boolean) => ({
  look: isOutOfKeys ? ('info' as const) : ('wait' as const),
  untilText: 'a request is answered',
});

function ofLimiter({ now, limiter }: SituationFacts): readonly Situation[] {
  const { refused, addresses, mayBeProxy } = limiter;
  const recent = lately([refused], now);
  if (recent === null) return [];
  const whose = addresses === 1 ? 'one address' : `${addresses} addresses`;
  const from = addresses === 0 ? '' : ` They came from ${whose}.`;
  const hint = mayBeProxy
    ? ' Many callers may share that address behind a proxy: check TRUST_PROXY.'
    : '';
  return [
    situation(now, {
      ...{ kind: 'address_limit', fault: mayBeProxy ? 'us' : 'caller', ...recent.fields },
      sentence: `${recent.were} turned away by our own rate limit per address ${recent.when}.${from}${hint}`,
      title: `Requests were turned away by our own rate limit per address.${from}${hint}`,
      remedy: mayBeProxy
        ? 'If proxies stand in front of this server, set TRUST_PROXY to their number and restart.'
        : 'An address may ask again after a minute. If it is one busy caller, do nothing. If all callers share one address, check TRUST_PROXY. RATE_LIMIT_CHAT and RATE_LIMIT_SESSIONS set the limit.',
      untilText: `${mayBeProxy ? 'TRUST_PROXY is right, or ' : ''}fewer requests come`,
    }),
  ];
}

const LIMITS: Readonly<Record<string, string>> = {
  requests_per_minute: 'its requests of this minute',
  tokens_per_minute: 'its tokens of this minute',
  requests_per_day: 'its requests of this day',
  tokens_per_day: 'its tokens of this day',
  share: 'its share of the keys while they are scarce',
};

function ofClient({ client, limit, refused }: ClientTroubles, now: number): Situation {
  const recent = lately([refused], now);
  const used = LIMITS[limit] ?? limit;
  // The budget of a day stays spent, however long ago the last refusal was.
  const when = limit.endsWith('_day') ? LATELY : (recent?.when ?? LATELY);
  const then = `${recent?.were ?? 'Requests were'} refused ${when}`;
  return situation(now, {
    ...{ kind: 'client_limit', client, cause: limit, fault: 'caller', look: 'wait' },
    ...recent?.fields,
    sentence: `The client ${client} has used up ${used}. ${then}.`,
    title: `The client ${client} has used up ${used}.`,
    remedy: 'Raise the limit of the client, or ask its owner to send less.',
    link: `#client=${client}`,
    ...(limit.endsWith('_day') ? { ...endOfWindow(DAY_MS, now), look: 'wait' } : {}),
    ...(limit.endsWith('_minute') && recent?.isOver === false ? endOfWindow(MINUTE_MS, now) : {}),
  });
}

/** Budgets begin anew with each minute and each day in UTC. */
function endOfWindow(ms: number, now: number): Pick<Situation, 'until' | 'untilText'> {
  const at = (Math.floor(now / ms) + 1) * ms;
  return { until: isoTime(at), untilText: timeOf(at, now) };
}

function ofBugs({ now, bugs }: SituationFacts): readonly Situation[] {
  const recent = lately([bugs], now);
  if (recent === null) return [];
  return [
    situation(now, {
      ...{ kind: 'internal_errors', fault: 'us', ...recent.fields },
      sentence: `${recent.were} ended by an internal error of this server ${recent.when}.`,
      title: 'Requests were ended by an internal error of this server.',
      remedy: "The error's stack is in the log, under the id of the request.",
    }),
  ];
}

function ofReleases({ now, unprovenKeys }: SituationFacts): readonly Situation[] {
  const [only] = unprovenKeys;
  if (only === undefined) return [];
  const isOne = unprovenKeys.length === 1;
  return [
    situation(now, {
      ...{ kind: 'unproven_keys', look: 'wait', fault: 'key', ...named(unprovenKeys) },
      sentence: `${listOf(unprovenKeys)} ${isOne ? 'was released and has' : 'were released and have'} not answered yet.`,
      remedy: 'Check the key, or send a chat: nothing proves yet that it works.',
      untilText: isOne ? 'it answers' : 'they answer',
      link: isOne ? `#key=${only}` : null,
    }),
  ];
}

const REDIS = {
  unreachable: 'Redis is unreachable',
  refusing: 'Redis refuses commands',
} as const;

function ofStores(
  { now, redis, store }: SituationFacts,
  areAnswered: boolean,
): readonly Situation[] {
  const down = redis === 'unreachable' || redis === 'refusing' ? REDIS[redis] : null;
  const isSame = down !== null && store.kind === 'redis';
  const unsaved = isSame
    ? ' What is kept in Redis cannot be changed now. Usage waits in memory.'
    : '';
  const requests = areAnswered ? 'Requests are still answered. ' : '';
  const where = STORES[store.kind];
  return [
    ...(down === null
      ? []
      : [
          situation(now, {
            ...({ kind: 'sharing_down', look: 'wait', fault: 'us' } as const),
            sentence: `${requests}${down}. This instance does not share what it learns about keys.${unsaved}`,
            title: `${down}. This instance does not share what it learns about keys.${unsaved}`,
            remedy: 'Start Redis, or check REDIS_URL and the network to it.',
            untilText: 'Redis answers again',
          }),
        ]),
    ...(store.fault === null || isSame
      ? []
      : [
          situation(now, {
            ...({ kind: 'store_down', look: 'wait', fault: 'us', cause: 'store' } as const),
            sentence: `${where.name} cannot be written. ${store.fault} Changes of keys and clients, usage and incidents are not kept.`,
            remedy: where.remedy,
            untilText: 'it can be used again',
          }),
        ]),
  ];
}

const STORES = {
  redis: { name: 'The store in Redis', remedy: 'Check Redis and REDIS_URL.' },
  file: {
    name: 'The store in DATA_DIR',
    remedy: 'Check the disk: is it full, and may this user write there?',
  },
  memory: { name: 'The store in memory', remedy: 'Restart the server.' },
} as const;

function ofOtherModel(
  { service, model, answers, at }: OtherModel,
  { now, services }: SituationFacts,
): Situation {
  const prefix = services.find(({ provider }) => provider.name === service)?.provider.prefix;
  return situation(now, {
    ...{ kind: 'other_model', look: 'wait', fault: 'provider', service, model, cause: answers },
    sentence: `${model} was asked for, and ${answers} answers: its quota and price count.`,
    remedy: `Name the model that answers, or another one, in ${prefix ?? service}_MODELS.`,
    until: isoTime(at + DAY_MS),
    untilText: `a day after its last answer, ${timeOf(at + DAY_MS, now)}`,
  });
}
