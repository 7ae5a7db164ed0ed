import { createHash } from 'node:crypto';
import type { KeyFacts, ScopeState } from '../pool/key-facts.ts';
import type { UntilBy } from '../pool/key-state.ts';
import type { ApiKey } from '../shared/api-key.ts';
import { isoTime } from '../shared/clock.ts';
import { explain, type Source, sourceOf, type Times } from './explain.ts';
import type { KeyStats } from './key-stats.ts';
import { latencyOf } from './latency.ts';
import type { OperatorAction } from './operator-actions.ts';

/** Everything that whoever is on call may want to know of one key; times are ISO 8601 in UTC. */
export type KeyReport = ReturnType<typeof reportKey>;

export function reportKey(
  facts: KeyFacts,
  stats: KeyStats,
  lastAction: OperatorAction | null,
  now: number,
) {
  const { key, model, inFlight, state, scopes, history } = facts;
  const { calls, successes, failures, firstMs, lastError } = stats;
  const decisive = scopes.find((scope) => isDecisive(scope, facts));
  const times = { now, blockedUntil: state.until ?? 0 };
  return {
    id: key.id,
    fingerprint: fingerprintOf(key),
    service: key.service,
    project: key.project,
    model,
    state: state.state,
    cause: state.cause ?? null,
    explanation: decisive === undefined ? null : explain(decisive, key, times),
    source: decisive === undefined ? null : sourceOf(decisive),
    since: isoTimeOrNull(state.since),
    until: isoTimeOrNull(state.until),
    untilBy: state.untilBy ?? null,
    scopes: scopes.map((scope) => describeScope(scope, key, times)),
    inFlight,
    calls,
    successes,
    failures,
    latency: latencyOf(firstMs),
    lastError: lastError === null ? null : { ...lastError, at: isoTime(lastError.at) },
    lastAction: lastAction === null ? null : { ...lastAction, at: isoTime(lastAction.at) },
    history: history.map((stretch) => ({
      ...stretch,
      from: isoTime(stretch.from),
      to: isoTime(stretch.to),
    })),
  };
}

/** Tells keys apart and the same key again, and cannot be turned back into one. */
const fingerprintOf = ({ service, secret }: ApiKey): string =>
  createHash('sha256').update(`${service}\n${secret.reveal()}`).digest('hex').slice(0, 10);

/** The one scope that says why the key stands as it does for this model. */
const isDecisive = (scope: ScopeState, { model, state }: KeyFacts): boolean =>
  scope.cause === state.cause &&
  scope.since === state.since &&
  (scope.model === null || scope.model === model);

export interface ScopeReport {
  readonly scope: ScopeState['scope'];
  readonly model: string | null;
  readonly state: ScopeState['state'];
  readonly cause: ScopeState['cause'];
  readonly explanation: string;
  readonly source: Source;
  readonly since: string;
  readonly until: string;
  readonly untilBy: UntilBy;
}

const describeScope = (scope: ScopeState, key: ApiKey, times: Times): ScopeReport => ({
  scope: scope.scope,
  model: scope.model,
  state: scope.state,
  cause: scope.cause,
  explanation: explain(scope, key, times),
  source: sourceOf(scope),
  since: isoTime(scope.since),
  until: isoTime(scope.until),
  untilBy: scope.untilBy,
});

const isoTimeOrNull = (at: number | undefined) => (at === undefined ? null : isoTime(at));
