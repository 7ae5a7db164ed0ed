import type { KeyPool } from '../pool/key-pool.ts';
import type { Outcome } from '../pool/lease.ts';
import type { Service } from '../shared/api-key.ts';
import type { Clock } from '../shared/clock.ts';
import type { FailureKind } from '../shared/failure.ts';
import type { Logger } from '../shared/logger.ts';
import type { AttemptEnd } from './attempt.ts';
import type { ServiceError } from './service-error.ts';

/** One line for each attempt, and one more for a request that needed more than one key. */
export interface RequestLog {
  attemptEnded(end: AttemptEnd): void;
  /** With an answer, be it that the request itself was at fault. */
  answered(): void;
  /** With a refusal, or because the caller has gone. */
  failed(error: ServiceError): void;
}

/** So many skipped keys are named in a line; more would hide what matters. */
const MAX_SKIPPED = 10;

interface Request {
  readonly service: Service;
  readonly models: readonly string[];
  readonly caller: { readonly requestId: string };
}

export function createRequestLog(
  { log, pool, clock }: { log: Logger; pool: KeyPool; clock: Clock },
  { service, models, caller: { requestId } }: Request,
): RequestLog {
  const tried: { key: string; model: string; outcome: Outcome['kind'] }[] = [];
  const skipped = () =>
    models.flatMap((model) => pool.skipped(service, model, MAX_SKIPPED)).slice(0, MAX_SKIPPED);

  return {
    attemptEnded({ lease, outcome, startedAt }) {
      const attempt = { key: lease.key.id, model: lease.model, outcome: outcome.kind };
      tried.push(attempt);
      const ms = clock.now() - startedAt;
      if (outcome.kind === 'success') log.info({ requestId, ...attempt, ms }, 'attempt');
      else
        log[LEVELS[outcome.kind]]({ requestId, ...attempt, ms, why: outcome.message }, 'attempt');
    },
    answered() {
      tellHow('another key stepped in');
    },
    failed({ code, retryAfterMs }) {
      if (code === 'client_gone') {
        tellHow('the client left while another key was stepping in');
        return;
      }
      const retryAfter = retryAfterMs === null ? {} : { retryAfterMs };
      log.warn({ requestId, service, code, ...retryAfter, tried, skipped: skipped() }, 'refused');
    },
  };

  /** Only where more than one key was needed; a single one that was tried again speaks for itself. */
  function tellHow(sentence: string): void {
    if (new Set(tried.map(({ key }) => key)).size < 2 || !log.isLevelEnabled('info')) return;
    log.info({ requestId, tried, skipped: skipped() }, sentence);
  }
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
