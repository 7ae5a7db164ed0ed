import type { AttemptTrace, EndedTrace, RequestTrace, TraceSink } from '../failover/trace.ts';
import type { Inspection } from '../pool/inspection.ts';
import type { Parked } from '../pool/lease.ts';
import type { ProviderName } from '../shared/api-key.ts';
import { isoTime } from '../shared/clock.ts';
import type { Failure, FailureKind } from '../shared/failure.ts';
import type { Logger } from '../shared/logger.ts';
import { type ProviderFacts, providerOf } from '../shared/provider-facts.ts';
import type { Target } from '../shared/target.ts';

/**
 * One line for each attempt without an answer, one more for a request that needed more than one or was refused, and
 * one for each thing about a provider that a person should know. A success is in the access log.
 */
export function createRequestLog(
  log: Logger,
  inspection: Inspection,
  providers: readonly ProviderFacts[],
): TraceSink {
  const warnOfAnswer = createAnswerWatch(log, inspection, providers);
  return {
    otherModelAnswers: createModelWatch(log),
    attemptFailed(attempt, request) {
      const { outcome } = attempt;
      if (outcome.kind === 'success') return;
      const { status, message: why } = outcome;
      log[levelOf(outcome)]({ ...attemptLine(attempt, request), status, why }, 'attempt');
      warnOfAnswer(outcome, attempt);
    },
    requestHadTrouble(request) {
      if (request.end.kind === 'refused') {
        log.warn({ ...refusalLine(request), ...keysOf(request, inspection) }, 'refused');
      } else if (isWorthALine(request) && log.isLevelEnabled('info')) {
        const { requestId, ms, hedge } = request;
        const line = { requestId, ms, ...(hedge === null ? {} : { hedge }) };
        log.info({ ...line, ...keysOf(request, inspection) }, messageFor(request));
      }
    },
  };
}

function refusalLine({ requestId, targets, ms, end, ...request }: EndedTrace) {
  if (end.kind !== 'refused') return {};
  const service = targets[0].provider;
  const { code, retryAfterMs } = end;
  const later = retryAfterMs === null ? {} : { retryAfterMs };
  return { requestId, service, code, ms, ...waited(request), ...later };
}

const isWorthALine = ({ failovers, hedge }: EndedTrace) => failovers > 0 || hedge !== null;

const nameOf = (service: ProviderName, message: string) => `${service} ${message}`;

const IMPLAUSIBLE = {
  retry_hint: 'a time to retry that is negative or days ahead',
  quota_size: 'a quota whose size is none',
} as const satisfies Record<NonNullable<Failure['implausible']>, string>;

/** Warns once for each provider of refusals that cannot be true, and of a kind of key that is rejected as a whole. */
function createAnswerWatch(
  log: Logger,
  inspection: Inspection,
  providers: readonly ProviderFacts[],
): (failure: Failure, attempt: AttemptTrace) => void {
  const known = new Set<string>();
  const warnOnce = (service: ProviderName, key: string, message: string) => {
    const name = nameOf(service, message);
    if (known.has(name)) return;
    known.add(name);
    log.warn({ service, key }, message);
  };
  return ({ kind, implausible }, { key, target: { provider: service } }) => {
    if (implausible !== undefined) {
      const what = IMPLAUSIBLE[implausible];
      warnOnce(service, key, `a refusal names ${what}: no park lasts longer than the cooldown`);
    }
    const { retiredKeys } = providerOf(providers, service);
    if (kind !== 'key_rejected' || retiredKeys === undefined) return;
    // To look costs a walk over all keys.
    if (known.has(nameOf(service, retiredKeys.cause))) return;
    if (inspection.wereRejectedTogether(service, retiredKeys.isOne)) {
      warnOnce(service, key, retiredKeys.cause);
    }
  };
}

/** For one target: a gateway could answer with any number of names. */
const MAX_NAMES = 10;

/** Warns once for each target and each other model that answers in its place. */
function createModelWatch(log: Logger): (target: Target, responseModel: string) => void {
  const known = new Map<Target, Set<string>>();
  return (target, responseModel) => {
    const names = known.get(target) ?? new Set();
    if (names.has(responseModel) || names.size >= MAX_NAMES) return;
    known.set(target, names.add(responseModel));
    if (isSameModel(target.label, responseModel)) return;
    const line = { service: target.provider, ...target.labels, responseModel };
    log.warn(line, 'another model answers than was asked for: its quota and price count');
  };
}

/** An alias always has another name. A model may answer as one of its versions. */
export const isSameModel = (asked: string, answered: string) =>
  ALIAS.test(asked) || asked.replace(VERSION, '') === answered.replace(VERSION, '');

const ALIAS = /-latest$/;
/** `-001`, `-preview`, `-exp-0827`, `-preview-09-2025`. */
const VERSION = /-(?:\d{3}|(?:preview|exp)(?:-\d{2,4})*)$/;

function attemptLine(attempt: AttemptTrace, request: RequestTrace) {
  const { requestId } = request;
  const { key, target, otherModel, outcome, ms, firstMs, usage, isProbe, isHedge, parked } =
    attempt;
  return {
    requestId,
    key,
    ...target.labels,
    ...(otherModel === null ? {} : { responseModel: otherModel }),
    outcome: outcome.kind,
    ms,
    ...(firstMs === null ? {} : { firstMs }),
    ...(usage === null ? {} : { tokens: usage.totalTokens }),
    ...waited(request),
    ...(isProbe ? { isProbe } : {}),
    ...(isHedge ? { isHedge } : {}),
    ...(parked === null ? {} : parkedLine(parked)),
  };
}

const parkedLine = ({ scope, features, until }: Parked) => ({
  parks: scope,
  ...(features === undefined ? {} : { features }),
  until: isoTime(until),
});

const waited = ({ waitedMs }: Pick<RequestTrace, 'waitedMs'>) => (waitedMs > 0 ? { waitedMs } : {});

/** A line names at most this many unavailable keys. */
const MAX_PARKED = 10;

/** The keys that the request tried, and those that are unavailable by now. */
function keysOf({ targets, attempts }: RequestTrace, inspection: Inspection) {
  const tried = attempts.map(({ key, target, outcome }) => ({
    key,
    ...target.labels,
    outcome: outcome.kind,
  }));
  const parked = targets.flatMap((target) =>
    inspection
      .skipped(target.provider, target.label, MAX_PARKED)
      .map(({ id: key, state, cause, since, until }) => ({
        key,
        ...target.labels,
        state,
        cause,
        ...(since === undefined ? {} : { since: isoTime(since) }),
        ...(until === undefined ? {} : { until: isoTime(until) }),
      })),
  );
  return { tried, parked: parked.slice(0, MAX_PARKED) };
}

function messageFor({ attempts, failovers, end }: EndedTrace): string {
  if (failovers === 0) return 'a second key was asked beside a slow one';
  const hasBegun = attempts.at(-1)?.firstMs !== null;
  if (end.kind === 'client_gone' && !hasBegun) {
    return 'the client left while another key was stepping in';
  }
  const targets = new Set(attempts.map(({ target }) => target)).size;
  const keys = new Set(attempts.map(({ key }) => key)).size;
  return targets > 1 && keys < 2 ? 'another model stepped in' : 'another key stepped in';
}

/** A spent minute is normal; what parks a key for the whole cooldown deserves a look. */
function levelOf(failure: Failure): 'info' | 'warn' | 'error' {
  const hasNoHint = failure.kind === 'rate_limited' && failure.retryAfterMs === undefined;
  return hasNoHint ? 'warn' : LEVELS[failure.kind];
}

const LEVELS: Record<FailureKind, 'info' | 'warn' | 'error'> = {
  rate_limited: 'info',
  quota_exhausted: 'warn',
  quota_unexplained: 'warn',
  request_too_large: 'info',
  out_of_credit: 'error',
  key_rejected: 'error',
  model_unavailable: 'warn',
  not_owned: 'info',
  request_fault: 'info',
  content_blocked: 'info',
  unusable_answer: 'info',
  upstream_down: 'warn',
  misconfigured: 'error',
  deadline_exceeded: 'warn',
  client_gone: 'info',
  superseded: 'info',
  internal_error: 'error',
};
