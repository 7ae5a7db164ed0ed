import type { KeyPool } from '../pool/key-pool.ts';
import type { KeyState } from '../pool/key-state.ts';
import type { Outcome } from '../pool/lease.ts';
import type { Service } from '../shared/api-key.ts';
import type { Clock } from '../shared/clock.ts';
import type { Failure, FailureKind } from '../shared/failure.ts';
import type { Logger } from '../shared/logger.ts';
import type { AttemptEnd } from './attempt.ts';
import type { ServiceError } from './service-error.ts';

/** One line for each attempt, and one more for a request that needed more than one key. */
export interface RequestLog {
  /** Adds to what the request's further lines say of its time in line. */
  waited(ms: number): void;
  attemptEnded(end: AttemptEnd): void;
  /** With an answer, be it that the request itself was at fault. */
  answered(): void;
  /** With a refusal, or because the caller has gone. */
  failed(error: ServiceError): void;
}

/** So many keys that cannot be had are named in a line; more would hide what matters. */
const MAX_NAMED = 10;

interface Request {
  readonly service: Service;
  readonly models: readonly string[];
  readonly caller: { readonly requestId: string };
}

export function createRequestLog(
  { log, pool, clock }: { log: Logger; pool: KeyPool; clock: Clock },
  { service, models, caller: { requestId } }: Request,
): RequestLog {
  const startedAt = clock.now();
  let waitedMs = 0;
  const tried: { key: string; model: string; outcome: Outcome['kind'] }[] = [];

  return {
    waited(ms) {
      waitedMs += ms;
    },
    attemptEnded({ lease, outcome, isTrial, parked, startedAt: attemptedAt }) {
      const attempt = { key: lease.key.id, model: lease.model, outcome: outcome.kind };
      tried.push(attempt);
      const line = {
        requestId,
        ...attempt,
        ms: clock.now() - attemptedAt,
        ...waitedSoFar(),
        ...(isTrial ? { isTrial } : {}),
        ...(parked === null ? {} : { parks: parked.scope, until: toIso(parked.until) }),
      };
      if (outcome.kind === 'success') log.info(line, 'attempt');
      else {
        const { status, message: why } = outcome;
        log[levelOf(outcome)]({ ...line, status, why }, 'attempt');
      }
    },
    answered() {
      const models = new Set(tried.map(({ model }) => model)).size;
      tellHow(
        models > 1 && keysTried() < 2 ? 'another model stepped in' : 'another key stepped in',
      );
    },
    failed({ code, retryAfterMs }) {
      if (code === 'client_gone') {
        tellHow('the client left while another key was stepping in');
        return;
      }
      const ms = clock.now() - startedAt;
      const times = { ms, ...waitedSoFar(), ...(retryAfterMs === null ? {} : { retryAfterMs }) };
      log.warn({ requestId, service, code, ...times, tried, parked: parked() }, 'refused');
    },
  };

  function waitedSoFar() {
    return waitedMs > 0 ? { waitedMs } : {};
  }

  /** Only where more than one key or model was needed; one that was tried again speaks for itself. */
  function tellHow(sentence: string): void {
    const ways = new Set(tried.map(({ key, model }) => `${key} ${model}`)).size;
    if (ways < 2 || !log.isLevelEnabled('info')) return;
    log.info({ requestId, ms: clock.now() - startedAt, tried, parked: parked() }, sentence);
  }

  function keysTried(): number {
    return new Set(tried.map(({ key }) => key)).size;
  }

  /** The keys that cannot be had by now, those that this request has found so among them. */
  function parked() {
    return models
      .flatMap((model) =>
        pool.skipped(service, model, MAX_NAMED).map((state) => toLine(model, state)),
      )
      .slice(0, MAX_NAMED);
  }
}

const toIso = (at: number) => new Date(at).toISOString();

const toLine = (model: string, { id, state, cause, since, until }: KeyState) => ({
  key: id,
  model,
  state,
  cause,
  ...(since === undefined ? {} : { since: toIso(since) }),
  ...(until === undefined ? {} : { until: toIso(until) }),
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
