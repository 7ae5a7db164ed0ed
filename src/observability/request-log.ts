import type { AttemptTrace, EndedTrace, RequestTrace, TraceSink } from '../failover/trace.ts';
import type { Inspection } from '../pool/inspection.ts';
import { isoTime } from '../shared/clock.ts';
import type { Failure, FailureKind } from '../shared/failure.ts';
import type { Logger } from '../shared/logger.ts';

/**
 * One line for each failed attempt, and one more for a request that needed more than one key or was refused. A
 * success is in the access log.
 */
export function createRequestLog(log: Logger, inspection: Inspection): TraceSink {
  return {
    attemptFailed(attempt, request) {
      const { outcome } = attempt;
      if (outcome.kind === 'success') return;
      const { status, message: why } = outcome;
      log[levelOf(outcome)]({ ...attemptLine(attempt, request), status, why }, 'attempt');
    },
    requestHadTrouble(request) {
      const { requestId, targets, ms, end } = request;
      if (end.kind === 'refused') {
        const service = targets[0].provider;
        const { code, retryAfterMs } = end;
        const later = retryAfterMs === null ? {} : { retryAfterMs };
        const line = { requestId, service, code, ms, ...waited(request), ...later };
        log.warn({ ...line, ...keysOf(request, inspection) }, 'refused');
      } else if (request.failovers > 0 && log.isLevelEnabled('info')) {
        log.info({ requestId, ms, ...keysOf(request, inspection) }, failoverMessage(request));
      }
    },
  };
}

function attemptLine(attempt: AttemptTrace, request: RequestTrace) {
  const { requestId } = request;
  const { key, target, outcome, ms, firstMs, usage, isProbe, parked } = attempt;
  return {
    requestId,
    key,
    ...target.labels,
    outcome: outcome.kind,
    ms,
    ...(firstMs === null ? {} : { firstMs }),
    ...(usage === null ? {} : { tokens: usage.totalTokens }),
    ...waited(request),
    ...(isProbe ? { isProbe } : {}),
    ...(parked === null ? {} : { parks: parked.scope, until: isoTime(parked.until) }),
  };
}

const waited = ({ waitedMs }: RequestTrace) => (waitedMs > 0 ? { waitedMs } : {});

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

function failoverMessage({ attempts, end }: EndedTrace): string {
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
  upstream_down: 'warn',
  misconfigured: 'error',
  deadline_exceeded: 'warn',
  client_gone: 'info',
  superseded: 'info',
  internal_error: 'error',
};
