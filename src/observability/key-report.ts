import type { KeyFacts, ScopeState } from '../pool/inspection.ts';
import type { ApiKey, ProviderName } from '../shared/api-key.ts';
import { DAY_MS, isoTime } from '../shared/clock.ts';
import type { Rejection } from '../shared/failure.ts';
import { nextPacificMidnight } from '../shared/pacific-midnight.ts';
import { digestOf } from '../shared/secret.ts';
import type { Target } from '../shared/target.ts';
import { type KeyReport, reportedScope, type Unused } from './reports.ts';
import { titleOf } from './situation.ts';
import type { KeyStats } from './stats.ts';

/** What is known of a key besides its state in the pool. */
export type KeyNotes = KeyStats & Pick<KeyReport, 'origin' | 'lastAction' | 'lastCheck'>;

/**
 * Everything about one key, for one model.
 *
 * @param retiredCause why keys of its kind were all rejected; null where they were not
 */
export function reportKey(
  facts: KeyFacts,
  notes: KeyNotes,
  now: number,
  retiredCause: string | null,
): KeyReport {
  const { key, target, inFlight, state, scopes, history } = facts;
  const times = { now, blockedUntil: state.until ?? 0, retiredCause };
  const decisive = scopes.find((scope) => isDecisive(scope, facts));
  return {
    ...identify(key),
    ...notes,
    model: target.label,
    state: state.state,
    cause: state.cause ?? null,
    explanation: decisive === undefined ? null : explain(decisive, key, times),
    source: decisive === undefined ? null : sourceOf(decisive),
    since: isoTimeOrNull(state.since),
    until: isoTimeOrNull(state.until),
    untilBy: state.untilBy ?? null,
    scopes: scopes.map((scope) => reportScope(scope, key, times)),
    inFlight,
    history: history.map(({ from, to, ...why }) => ({
      ...why,
      from: isoTime(from),
      to: isoTime(to),
    })),
  };
}

/** A key that is out of use has no state for any model. */
export const reportUnusedKey = (
  key: ApiKey,
  use: Unused,
  target: Target,
  inFlight: number,
  notes: KeyNotes,
): KeyReport => ({
  ...identify(key),
  ...notes,
  ...{ model: target.label, state: use, cause: null, source: null },
  explanation: `${use} by the operator; out of use until it is resumed`,
  ...{ since: null, until: null, untilBy: null, scopes: [], inFlight, history: [] },
});

const identify = (key: ApiKey) => ({
  id: key.id,
  fingerprint: fingerprintOf(key),
  service: key.provider,
  project: key.project,
  billing: key.billing ?? null,
  personaId: key.personaId ?? null,
});

/** Identifies a key, and cannot be turned back into one. */
export const fingerprintOf = ({ provider, secret }: ApiKey): string =>
  digestOf(provider, secret.reveal()).toString('hex').slice(0, 10);

/** Whether this scope is the reason for the state of the key for this model. */
const isDecisive = (scope: ScopeState, { target, state }: KeyFacts): boolean =>
  scope.cause === state.cause &&
  scope.since === state.since &&
  (scope.target === null || scope.target === target);

const reportScope = (
  scope: ScopeState,
  key: ApiKey,
  times: Times,
): KeyReport['scopes'][number] => ({
  scope: reportedScope(scope.scope),
  model: scope.target?.label ?? null,
  state: scope.state,
  cause: scope.cause,
  explanation: explain(scope, key, times),
  source: sourceOf(scope),
  since: isoTime(scope.since),
  until: isoTime(scope.until),
  untilBy: scope.untilBy,
});

const isoTimeOrNull = (at: number | undefined) => (at === undefined ? null : isoTime(at));

/** Where a finding comes from: the provider's own answer, a rule of ours, or a person. */
function sourceOf({ scope }: ScopeState): 'provider' | 'rule' | 'operator' {
  if (scope === 'operator') return 'operator';
  return scope === 'ejection' || scope === 'quota' ? 'rule' : 'provider';
}

/** Times are milliseconds since the epoch. */
interface Times {
  readonly now: number;
  /** Until when the key is not used, for any reason. */
  readonly blockedUntil: number;
  readonly retiredCause?: string | null;
}

/** One sentence: why a key is not used, and when that ends. */
export function explain(finding: ScopeState, key: ApiKey, times: Times): string {
  const { retiredCause = null } = times;
  const reason = finding.cause === 'key_rejected' ? retiredCause : null;
  const action = actionFor(reason !== null || isLost(finding.rejection), key);
  return `${reason ?? reasonFor(finding, key)}; ${outlookFor(finding, action, times)}`;
}

function reasonFor(finding: ScopeState, { project, id, provider }: ApiKey): string {
  const { cause, rejection, scope, features } = finding;
  const model = nameOf(finding.target);
  const whose = project === id ? 'its project' : `the project ${project}`;
  if (features.length > 0) {
    return `${model} refuses requests with ${features.join(' and ')} for ${whose}; all others go on`;
  }
  switch (cause) {
    case 'rate_limited':
      return rateLimit(finding, model, whose);
    case 'quota_unexplained':
      return `the provider refuses ${model} for ${whose} with 429, and does not say why`;
    case 'quota_exhausted':
      return `the day's quota of ${model} is spent for ${whose}`;
    case 'paced':
      return `by our count the quota of ${model} is used up for ${whose}`;
    case 'out_of_credit':
      if (scope === 'billing') return `the billing account of ${whose} has no credit left`;
      return `${whose} has no credit left, or its plan or spend cap ends here`;
    case 'key_rejected':
      return rejection === undefined
        ? 'the provider rejects this key: unknown, leaked, blocked or not allowed here'
        : said(provider, 'the key', rejection);
    case 'model_unavailable':
      return scope === 'key_model'
        ? `this key may not use ${model}`
        : `${whose} has no quota at all for ${model}`;
    case 'upstream_down':
      return `it fails with ${model} while others answer`;
    case 'operator':
      return 'taken out of use by the operator';
    default:
      return cause;
  }
}

/** @param subject of the sentence: a rejected key */
export const said = (provider: ProviderName, subject: string, rejection: Rejection) =>
  `${titleOf({ provider: { name: provider } })} says that ${subject} ${REJECTED[rejection]}`;

const REJECTED: Readonly<Record<Rejection, string>> = {
  unknown: 'is unknown or not valid',
  expired: 'has expired',
  leaked: 'was reported as leaked',
  suspended: 'is suspended',
  blocked: 'is blocked for this API or this server',
};

function rateLimit({ scope, untilBy }: ScopeState, model: string, whose: string): string {
  if (scope === 'project') return 'every slot of its account is busy';
  return untilBy === 'provider'
    ? `a rate limit of ${model} is reached for ${whose}`
    : `the provider refuses ${model} for ${whose} with 429, and does not say for how long`;
}

function nameOf(target: Target | null): string {
  if (target === null) return 'any model';
  if (target.use === 'live') return `Live sessions with ${target.labels.model}`;
  if (!target.metered) return 'calls that use no quota';
  return target.persona === null
    ? target.label
    : `${target.persona === 'ours' ? 'our' : 'callers'} persona`;
}

/** @param action what a person must do where the finding needs that */
function outlookFor(finding: ScopeState, action: string, { now, blockedUntil }: Times): string {
  const { cause, effect, isProbing: isBeingTried, until, untilBy, scope } = finding;
  if (isBeingTried) return 'one request is trying it now';
  if (blockedUntil > until && effect === 'needs_action') {
    return `${action}; not tried before ${timeOf(blockedUntil, now)}, for another reason`;
  }
  if (until <= now) return 'its time has passed: the next request tries it';
  const at = timeOf(until, now);
  if (scope === 'operator') return `back at ${at}, or when it is released`;
  if (scope === 'quota') return `other keys are asked first until ${at}`;
  if (scope === 'ejection') return `ejected until ${at}: the last resort until then`;
  if (effect === 'needs_action') return `${action}; tried again at ${at}`;
  if (cause === 'quota_exhausted') return `tried again at ${at}; ${resetFrom(now)}`;
  return untilBy === 'provider' ? `the provider says until ${at}` : `tried again at ${at}`;
}

function actionFor(mustBeReplaced: boolean, { provider }: ApiKey): string {
  const title = titleOf({ provider: { name: provider } });
  return mustBeReplaced
    ? `needs action: make a new key at ${title} and replace this one`
    : `needs action: fix that at ${title}, then release it`;
}

/** Rejections that no repair at the provider ends: such a key is replaced. */
const LOST: ReadonlySet<Rejection | undefined> = new Set(['unknown', 'expired', 'leaked'] as const);
export const isLost = (rejection: Rejection | undefined): boolean => LOST.has(rejection);

const resetFrom = (now: number) =>
  `resets at midnight Pacific, ${timeOf(nextPacificMidnight(now), now)}`;

/** In UTC, to the second within the next ten minutes. */
export function timeOf(at: number, now: number): string {
  const text = isoTime(at);
  const isSoon = at - now < 600_000;
  const time = text.slice(11, isSoon ? 19 : 16);
  return at - now < DAY_MS ? `${time} UTC` : `${time} UTC on ${text.slice(0, 10)}`;
}
