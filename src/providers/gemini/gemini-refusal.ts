import { DURATION_TEXT, parseDurationMs } from '../durations.ts';
import type { Rule } from '../failure-rules.ts';
import type { ProviderAnswer } from '../provider.ts';
import { readRetryAfterMs } from '../retry-headers.ts';
import { type GoogleError, parseGoogleError } from './google-error.ts';
import { effectiveStatus } from './google-status.ts';

/** A refusal of Gemini's, read once, as the rules look at it. */
export interface GeminiRefusal {
  readonly error: GoogleError;
  /** The effective status: see `effectiveStatus`. */
  readonly status: number;
  /** What some layer says about when to come back; zero or less means now. */
  readonly retryHintMs: number | undefined;
}

export type GeminiRule = Rule<GeminiRefusal>;

/** @param now milliseconds since the epoch */
export function readGeminiRefusal(answer: ProviderAnswer, now: number): GeminiRefusal {
  const error = parseGoogleError(answer.body);
  return {
    error,
    status: effectiveStatus(error, answer.status),
    retryHintMs: googlesHintMs(error) ?? readRetryAfterMs(answer.headers, now),
  };
}

/** For the rules: the message says so. A page's words are not the API's. */
export const says =
  (...phrases: readonly RegExp[]) =>
  ({ error }: GeminiRefusal): boolean =>
    !error.isHtml && phrases.some((phrase) => phrase.test(error.message.trim()));

/** For the rules: an ErrorInfo gives one of these reasons. */
export const hasReason =
  (reasons: RegExp) =>
  ({ error }: GeminiRefusal): boolean =>
    error.details.some((detail) => detail.type === 'ErrorInfo' && reasons.test(detail.reason));

export const isPage = ({ error }: GeminiRefusal): boolean => error.isHtml;

const RETRY_IN = new RegExp(String.raw`\bretry in\s+(${DURATION_TEXT})`, 'i');

/** The larger of RetryInfo and the message's "Please retry in 45.81s": either may be cut short. */
function googlesHintMs({ details, message }: GoogleError): number | undefined {
  const inDetails = details.map((detail) =>
    detail.type === 'RetryInfo' ? detail.retryDelayMs : undefined,
  );
  return inDetails.reduce(larger, parseDurationMs(RETRY_IN.exec(message)?.[1]));
}

function larger(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.max(a, b);
}
