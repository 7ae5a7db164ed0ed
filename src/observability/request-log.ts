import {
  type AttemptTrace,
  hasSteppedIn,
  type RequestTrace,
  type TraceSink,
} from '../failover/trace.ts';
import type { Inspection } from '../pool/inspection.ts';
import type { KeyState } from '../pool/key-state.ts';
import { isoTime } from '../shared/clock.ts';
import type { Failure, FailureKind } from '../shared/failure.ts';
import type { Logger } from '../shared/logger.ts';

/** So many keys that cannot be had are named in a line; more would hide what matters. */
const MAX_NAMED = 10;

/** One line for each attempt, and one more for a request that needed more than one key or was refused. */
export function createRequestLog(log: Logger, inspection: Inspection): TraceSink {
  return {
    attemptEnded(attempt) {
      const { outcome } = attempt;
      const line = attemptLine(attempt);
      if (outcome.kind === 'success') log.info(line, 'attempt');
      else {
        const { status, message: why } = outcome;
        log[levelOf(outcome)]({ ...line, status, why }, 'attempt');
      }
    },
    requestEnded(request) {
      const { end } = request;
      if (end.kind === 'refused') {
        const { requestId, service, ms } = request;
        const { code, retryAfterMs } = end;
        const times = {
          ms,
          ...waited(request),
          ...(retryAfterMs === null ? {} : { retryAfterMs }),
        };
        log.warn({ requestId, service, code, ...times, ...wayOf(request) }, 'refused');
      } else if (hasSteppedIn(request) && log.isLevelEnabled('info')) {
        const { requestId, ms } = request;
        log.info({ requestId, ms, ...wayOf(request) }, howOf(request));
      }
    },
  };

  function wayOf({ service, models, attempts }: RequestTrace) {
    const tried = attempts.map(({ key, model, outcome }) => ({
      key,
      model,
      outcome: outcome.kind,
    }));
    return { tried, parked: parkedFor(service, models) };
  }

  /** The keys that cannot be had by now, those that this request has found so among them. */
  function parkedFor(service: RequestTrace['service'], models: readonly string[]) {
    return models
      .flatMap((model) =>
        inspection.skipped(service, model, MAX_NAMED).map((state) => toLine(model, state)),
      )
      .slice(0, MAX_NAMED);
  }
}

function attemptLine(attempt: AttemptTrace) {
  const { requestId, key, model, outcome, ms, firstMs, usage, isProbe: isTrial, parked } = attempt;
  return {
    requestId,
    key,
    model,
    outcome: outcome.kind,
    ms,
    ...(firstMs === null ? {} : { firstMs }),
    ...(usage === null ? {} : { tokens: usage.totalTokens }),
    ...waited(attempt),
    ...(isTrial ? { isTrial } : {}),
    ...(parked === null ? {} : { parks: parked.scope, until: isoTime(parked.until) }),
  };
}

const waited = ({ waitedMs }: { readonly waitedMs: number }) => (waitedMs > 0 ? { waitedMs } : {});

function howOf({ attempts, end }: RequestTrace): string {
  const hadBegun = attempts.at(-1)?.firstMs !== null;
  if (end.kind === 'client_gone' && !hadBegun) {
    return 'the client left while another key was stepping in';
  }
  const models = new Set(attempts.map(({ model }) => model)).size;
  const keys = new Set(attempts.map(({ key }) => key)).size;
  return models > 1 && keys < 2 ? 'another model stepped in' : 'another key stepped in';
}

const toLine = (model: string, { id, state, cause, since, until }: KeyState) => ({
  key: id,
  model,
  state,
  cause,
  ...(since === undefined ? {} : { since: isoTime(since) }),
  ...(until === undefined ? {} : { until: isoTime(until) }),
});

/** A spent minute is daily business; what parks a key for the whole cooldown is worth a look. */
function levelOf(failure: Failure): 'info' | 'warn' | 'error' {
  const isUnexplained = failure.kind === 'rate_limited' && failure.retryAfterMs === undefined;
  return isUnexplained ? 'warn' : LEVELS[failure.kind];
}

const LEVELS: Record<FailureKind, 'info' | 'warn' | 'error'> = {
  rate_limited: 'info',
  quota_exhausted: 'warn',
  out_of_credit: 'error',
  key_rejected: 'error',
  model_unavailable: 'warn',
  request_fault: 'info',
  content_blocked: 'info',
  upstream_down: 'warn',
  misconfigured: 'error',
  client_gone: 'info',
};
