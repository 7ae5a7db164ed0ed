import { asObjects, asText, isJsonObject, type JsonObject } from '../../shared/json.ts';
import { parseDurationMs } from '../durations.ts';

/** One of `error.details`, where it is of a type that decides something. */
export type GoogleErrorDetail =
  | { readonly type: 'QuotaFailure'; readonly violations: readonly QuotaViolation[] }
  | { readonly type: 'RetryInfo'; readonly retryDelayMs: number }
  | { readonly type: 'ErrorInfo'; readonly reason: string; readonly metadata: JsonObject }
  /** Google points at fields of the request. */
  | { readonly type: 'BadRequest' };

export interface QuotaViolation {
  /** Such as `GenerateRequestsPerDayPerProjectPerModel-FreeTier`; empty where Google names none. */
  readonly quotaId: string;
  /** Absent where this project has no such quota at all. */
  readonly quotaValue?: string;
}

/** Details may come without `@type`, so each is known by the field that only it has. */
export function readGoogleErrorDetails(details: unknown): readonly GoogleErrorDetail[] {
  return asObjects(details).flatMap((detail) => READERS.flatMap((read) => read(detail) ?? []));
}

const READERS: readonly ((detail: JsonObject) => GoogleErrorDetail | undefined)[] = [
  readQuotaFailure,
  readRetryInfo,
  readErrorInfo,
  readBadRequest,
];

/** PreconditionFailure has `violations` too; its have neither an id nor a metric. */
function readQuotaFailure(detail: JsonObject): GoogleErrorDetail | undefined {
  const violations = asObjects(detail.violations)
    .filter(({ quotaId, quotaMetric }) => asText(quotaId) !== '' || asText(quotaMetric) !== '')
    .map(readViolation);
  return violations.length > 0 ? { type: 'QuotaFailure', violations } : undefined;
}

function readViolation({ quotaId, quotaValue }: JsonObject): QuotaViolation {
  const isGiven = typeof quotaValue === 'string' || typeof quotaValue === 'number';
  const value = isGiven ? String(quotaValue).trim() : '';
  return { quotaId: asText(quotaId), ...(value === '' ? {} : { quotaValue: value }) };
}

function readRetryInfo({ retryDelay }: JsonObject): GoogleErrorDetail | undefined {
  const retryDelayMs = parseDurationMs(retryDelay);
  return retryDelayMs === undefined ? undefined : { type: 'RetryInfo', retryDelayMs };
}

function readErrorInfo({ reason, metadata }: JsonObject): GoogleErrorDetail | undefined {
  if (asText(reason) === '') return undefined;
  return {
    type: 'ErrorInfo',
    reason: asText(reason),
    metadata: isJsonObject(metadata) ? metadata : {},
  };
}

function readBadRequest({ fieldViolations }: JsonObject): GoogleErrorDetail | undefined {
  return asObjects(fieldViolations).length > 0 ? { type: 'BadRequest' } : undefined;
}
