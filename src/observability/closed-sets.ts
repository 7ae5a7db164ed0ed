import type { ServiceErrorCode } from '../failover/service-error.ts';
import type { Operation, RequestEnd } from '../failover/trace.ts';
import type { Service } from '../shared/api-key.ts';
import type { FailureKind } from '../shared/failure.ts';

/**
 * All that a label may say: so many series there are and no more, and each can begin at 0, without
 * which nobody would see its first increase. The compiler knows when one is missing here.
 */
const FAILURES = namesOf<FailureKind>({
  rate_limited: true,
  quota_exhausted: true,
  out_of_credit: true,
  key_rejected: true,
  model_unavailable: true,
  request_fault: true,
  content_blocked: true,
  upstream_down: true,
  misconfigured: true,
  client_gone: true,
});

export const OUTCOMES = ['success', ...FAILURES] as const;

export const ENDS = namesOf<RequestEnd['kind']>({
  answered: true,
  at_fault: true,
  broken_off: true,
  bug: true,
  client_gone: true,
  refused: true,
});

/** A client that has gone is refused nothing. */
export const REFUSALS = namesOf<Exclude<ServiceErrorCode, 'client_gone'>>({
  invalid_request: true,
  payload_too_large: true,
  rate_limited: true,
  unauthorized: true,
  model_unavailable: true,
  all_keys_exhausted: true,
  no_keys_configured: true,
  upstream_failed: true,
  upstream_timeout: true,
});

export const SERVICE_OF: Record<Operation, Service> = {
  chat: 'google',
  generate_content: 'google',
  count_tokens: 'google',
  list_models: 'google',
  session_token: 'anam',
  session_start: 'anam',
};

export const OPERATIONS = Object.keys(SERVICE_OF) as Operation[];

function namesOf<Name extends string>(all: Record<Name, true>): readonly Name[] {
  return Object.keys(all) as Name[];
}
