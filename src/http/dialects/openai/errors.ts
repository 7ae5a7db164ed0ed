import type { ErrorForm } from '../../error-form.ts';
import type { ErrorCode, HttpError } from '../../http-error.ts';
import { JSON_TYPE } from '../../send-json.ts';

/** https://platform.openai.com/docs/guides/error-codes */
export const OPENAI_ERRORS: ErrorForm = {
  type: JSON_TYPE,
  text: (error) => JSON.stringify(toOpenaiError(error)),
  headers: ({ retryAfterSeconds }) =>
    retryAfterSeconds !== null && retryAfterSeconds > MAX_HONOURED_SECONDS
      ? { 'x-should-retry': 'false' }
      : {},
};

export function toOpenaiError(error: HttpError) {
  const { message, status, code } = error;
  return {
    error: { message, type: toType(status), param: paramOf(error), code: CODES[code] ?? code },
  };
}

/** The official clients honour `retry-after` up to here; a longer one they take for none, and ask again at once. */
const MAX_HONOURED_SECONDS = 60;

function toType(status: number): string {
  if (status >= 500) return 'server_error';
  return status === 429 ? 'rate_limit_error' : 'invalid_request_error';
}

const paramOf = ({ details }: HttpError) => details[0]?.path || null;

/** Where OpenAI has a word of its own. */
const CODES: Partial<Record<ErrorCode, string>> = {
  unauthorized: 'invalid_api_key',
  model_unavailable: 'model_not_found',
};
