import type { ErrorForm } from '../error-form.ts';
import type { HttpError } from '../http-error.ts';
import { JSON_TYPE } from '../send-json.ts';

/** As Google writes its own: https://cloud.google.com/apis/design/errors */
export const GEMINI_ERRORS: ErrorForm = {
  type: JSON_TYPE,
  text({ status: code, message, retryAfterSeconds }: HttpError) {
    const details = retryAfterSeconds === null ? {} : { details: [retryInfo(retryAfterSeconds)] };
    return JSON.stringify({
      error: { code, message, status: STATUSES[code] ?? 'INTERNAL', ...details },
    });
  },
};

const retryInfo = (seconds: number) => ({
  '@type': 'type.googleapis.com/google.rpc.RetryInfo',
  retryDelay: `${seconds}s`,
});

const STATUSES: Readonly<Record<number, string>> = {
  400: 'INVALID_ARGUMENT',
  401: 'UNAUTHENTICATED',
  404: 'NOT_FOUND',
  405: 'UNIMPLEMENTED',
  413: 'INVALID_ARGUMENT',
  415: 'INVALID_ARGUMENT',
  429: 'RESOURCE_EXHAUSTED',
  502: 'UNAVAILABLE',
  503: 'UNAVAILABLE',
  504: 'DEADLINE_EXCEEDED',
};
