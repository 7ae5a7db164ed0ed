import { noKeysConfigured, upstreamFailed, upstreamTimeout } from '../../failover/conclusion.ts';
import { ServiceError } from '../../failover/service-error.ts';
import { bodyTooLarge, HttpError, toHttpError } from '../errors.ts';
import { invalidField } from '../validate.ts';
import type { HeaderName } from './headers.ts';

/** One way of being refused, with when it comes and what it looks like. */
export interface RefusalSample {
  readonly when: string;
  readonly error: HttpError;
  readonly headers?: readonly HeaderName[];
}

const RETRY_AFTER: readonly HeaderName[] = ['retry-after'];

const bodyFault = (type: string) => toHttpError(Object.assign(new Error(type), { type }));

const exhausted = (sentence: string) =>
  toHttpError(new ServiceError('all_keys_exhausted', sentence, { retryAfterMs: 720_000 }));

export const REFUSALS = {
  invalid_request: {
    when: 'The request itself is at fault; `details` names each field.',
    error: invalidField('message', 'Must not be empty.'),
  },
  persona_refused: {
    when: 'The persona is refused, by this server or by Anam.',
    error: invalidField('personaConfig', 'Must not be empty.'),
  },
  unreadable_body: {
    when: 'The body cannot be read.',
    error: bodyFault('request.aborted'),
  },
  payload_too_large: {
    when: 'The body is larger than `MAX_BODY_MB`: unless that is set, 5 MB, or 20 MB with a token.',
    error: bodyTooLarge(5 * 2 ** 20),
  },
  over_16_kb: {
    when: 'The body is larger than 16 KB.',
    error: bodyTooLarge(16 * 1024),
  },
  unsupported_media_type: {
    when: 'The body is no JSON in UTF-8.',
    error: new HttpError('unsupported_media_type', 'Send the body as application/json.'),
  },
  unsupported_encoding: {
    when: 'The body is compressed in a way that is not understood here.',
    error: bodyFault('encoding.unsupported'),
  },
  unauthorized: {
    when: 'The token is missing or wrong.',
    error: new HttpError('unauthorized', 'The token is missing or unknown.'),
    headers: ['www-authenticate'],
  },
  admin_token_missing: {
    when: 'The admin token is missing or wrong.',
    error: new HttpError('unauthorized', 'This token is wrong.'),
    headers: ['www-authenticate'],
  },
  admin_token_wrong: {
    when: 'The token in the body is wrong.',
    error: new HttpError('unauthorized', 'This token is wrong.'),
  },
  other_origin: {
    when: "A browser sends this for another origin's page.",
    error: new HttpError('unauthorized', "Another origin's page may not do this."),
  },
  session_token_missing: {
    when: 'The session token is missing, or has been used.',
    error: new HttpError('unauthorized', 'Session token is missing.'),
  },
  model_unavailable: {
    when: 'The model is not served, or no key may use it.',
    error: new HttpError('model_unavailable', 'None of the API keys may use what was asked for.'),
  },
  persona_unavailable: {
    when: 'No key may use the persona.',
    error: new HttpError('model_unavailable', 'None of the API keys may use what was asked for.'),
  },
  key_unknown: {
    when: 'There is no key with this id.',
    error: new HttpError('not_found', 'There is no such key.'),
  },
  method_not_allowed: {
    when: 'This path is asked in another way; `Allow` says how it may be.',
    error: new HttpError('method_not_allowed', 'PUT is not allowed here.'),
    headers: ['allow'],
  },
  rate_limited: {
    when: 'Too many requests from this address.',
    error: new HttpError(
      'rate_limited',
      'Too many requests from this address. Try again in 12 seconds.',
      { retryAfterSeconds: 12 },
    ),
    headers: RETRY_AFTER,
  },
  special_request_refused: {
    when: 'Three projects refused what is special about the request (media, a schema, its length), without a cause.',
    error: new HttpError(
      'rate_limited',
      'The provider refused this request: Resource has been exhausted (e.g. check quota).',
      { retryAfterSeconds: 3600 },
    ),
    headers: RETRY_AFTER,
  },
  too_many_guesses: {
    when: 'More than ten wrong tokens from this address within a minute; then the right one is refused too.',
    error: new HttpError(
      'rate_limited',
      'Too many wrong tokens from this address. Try again in 12 seconds.',
      { retryAfterSeconds: 12 },
    ),
    headers: RETRY_AFTER,
  },
  internal_error: {
    when: "A bug of ours: its stack is in the log, under the request's id.",
    error: toHttpError(new Error('a bug')),
  },
  upstream_failed: {
    when: 'The provider is in trouble, or a setting of this server is at fault.',
    error: toHttpError(upstreamFailed()),
  },
  upstream_timeout: {
    when: 'The provider did not answer in time.',
    error: toHttpError(upstreamTimeout()),
  },
  all_google_keys_exhausted: {
    when: 'Every key is spent; `Retry-After` is when the first one returns.',
    error: exhausted("I'm experiencing high demand right now. Please try again in a few minutes."),
    headers: RETRY_AFTER,
  },
  all_anam_keys_exhausted: {
    when: 'Every key is spent; `Retry-After` is when the first one returns.',
    error: exhausted('All Anam API keys exhausted. Please try again later.'),
    headers: RETRY_AFTER,
  },
  no_google_keys_configured: {
    when: 'No key of this service is set.',
    error: toHttpError(noKeysConfigured({ prefix: 'GOOGLE' })),
  },
  no_anam_keys_configured: {
    when: 'No key of this service is set.',
    error: toHttpError(noKeysConfigured({ prefix: 'ANAM' })),
  },
} satisfies Record<string, RefusalSample>;

export type RefusalName = keyof typeof REFUSALS;
