import { STATUS_CODES } from 'node:http';
import type { GoogleError } from './google-error.ts';

/** google.rpc.Code and the HTTP status that Google documents for each. */
const GOOGLE_NAMES: Readonly<Record<string, number>> = {
  INVALID_ARGUMENT: 400,
  FAILED_PRECONDITION: 400,
  OUT_OF_RANGE: 400,
  UNAUTHENTICATED: 401,
  PERMISSION_DENIED: 403,
  NOT_FOUND: 404,
  ALREADY_EXISTS: 409,
  RESOURCE_EXHAUSTED: 429,
  CANCELLED: 499,
  UNKNOWN: 500,
  INTERNAL: 500,
  DATA_LOSS: 500,
  UNIMPLEMENTED: 501,
  // Documented as 409; but it is a clash on their side which another try may win, as 503 says.
  ABORTED: 503,
  UNAVAILABLE: 503,
  DEADLINE_EXCEEDED: 504,
};

/** Google's names, and HTTP's own phrases ("Too Many Requests"), which wrapped bodies carry instead. */
const STATUS_BY_NAME: ReadonlyMap<string, number> = new Map([
  ...Object.entries(STATUS_CODES).map(([code, phrase]) => [toName(phrase), Number(code)] as const),
  ...Object.entries(GOOGLE_NAMES),
]);

/**
 * The status that an answer really has. A body may contradict the HTTP status (a proxy's 200 or 500
 * around Google's 429), so its status name decides first, then its number, then HTTP.
 * 402 alone comes before all: google.rpc.Code has no name for it.
 */
export function effectiveStatus(error: GoogleError, httpStatus: number): number {
  const ofBody = error.code !== undefined && isErrorStatus(error.code) ? error.code : undefined;
  if (httpStatus === 402 || ofBody === 402) return 402;
  return statusOfName(error.status) ?? ofBody ?? httpStatus;
}

function statusOfName(name: string | undefined): number | undefined {
  const status = STATUS_BY_NAME.get(toName(name));
  return status !== undefined && isErrorStatus(status) ? status : undefined;
}

function toName(phrase = ''): string {
  return phrase
    .trim()
    .toUpperCase()
    .replace(/[^A-Z]+/g, '_');
}

const isErrorStatus = (status: number) => status >= 400 && status <= 599;
