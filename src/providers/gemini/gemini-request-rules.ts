import type { Finding } from '../failure-rules.ts';
import { NEEDS_BILLING, SPEND_CAP } from './gemini-money-phrases.ts';
import { type GeminiRefusal, type GeminiRule, hasReason, isPage, says } from './gemini-refusal.ts';

/** The key is unknown, its project switched off, or it is restricted to other callers than us. */
const BAD_KEY =
  /^(?:API_KEY_INVALID|CONSUMER_SUSPENDED|CONSUMER_INVALID|SERVICE_DISABLED|API_KEY_(?:\w+_)?BLOCKED)$/;
const NO_BILLING = /^BILLING_DISABLED$/;
/*
 * A 400 often quotes the caller. So its text decides only as Google's own whole sentence, as seen in real
 * answers and at https://ai.google.dev/gemini-api/docs/troubleshooting.
 */
const KEY_INVALID =
  /^API key (?:not valid|not found|expired)\. Please (?:pass a valid|renew the) API key\.$/i;
const WRONG_LOCATION = /^User location is not supported for the API use\.$/i;
const NEEDS_PAID_PLAN = [
  /^Gemini API free tier is not available in your country\.(?: Please enable billing on your project in Google AI Studio\.)?$/i,
  /^User location is not supported for the API use without a billing account linked\.$/i,
];

/** Leaked keys, which never have an ErrorInfo, and the rest of `BAD_KEY` where it is left out. */
const KEY_REFUSED_TEXT = [
  /\breported as leaked\b/i,
  /\bdenied access\b/i,
  /\b(?:has been|is) suspended\b/i,
  /\bhas not been used in project\b/i,
  /\brequests (?:from|to) .{1,300} (?:are|is) blocked\b/i,
];
/** Google's resource names, case and all: an uploaded file, a cached content. */
const STORED_RESOURCE = /\bCachedContent\b|\bcachedContents\/|\bFile\b|\bfiles\//;

const NOT_FOR_THIS_KEY: Finding = {
  kind: 'model_unavailable',
  whose: 'key',
  isUnexplained: true,
};

/** INVALID_ARGUMENT and FAILED_PRECONDITION: mostly the caller's, but a bad key answers so too. */
export const GEMINI_400_RULES: readonly GeminiRule[] = [
  { when: isPage, failure: { kind: 'misconfigured' } },
  { when: hasReason(BAD_KEY), failure: { kind: 'key_rejected' } },
  { when: pointsAtFields, failure: { kind: 'request_fault' } },
  { when: says(KEY_INVALID), failure: { kind: 'key_rejected' } },
  { when: says(WRONG_LOCATION), failure: { kind: 'misconfigured' } },
  { when: says(...NEEDS_PAID_PLAN), failure: { kind: 'out_of_credit' } },
  { when: () => true, failure: { kind: 'request_fault' } },
];

/** PERMISSION_DENIED: the key, its money, a resource of another project, or this key and model. */
export const GEMINI_403_RULES: readonly GeminiRule[] = [
  { when: hasReason(BAD_KEY), failure: { kind: 'key_rejected' } },
  { when: hasReason(NO_BILLING), failure: { kind: 'out_of_credit' } },
  // Before every other text: it quotes the name that the caller gave the file.
  { when: says(STORED_RESOURCE), failure: { kind: 'request_fault', about: 'resource' } },
  { when: says(SPEND_CAP, NEEDS_BILLING), failure: { kind: 'out_of_credit' } },
  { when: says(...KEY_REFUSED_TEXT), failure: { kind: 'key_rejected' } },
  { when: isNotGoogles, failure: { kind: 'misconfigured' } },
  { when: () => true, failure: NOT_FOR_THIS_KEY },
];

/** NOT_FOUND: a wrong address answers without Google's error; a model may be open to another key. */
export const GEMINI_404_RULES: readonly GeminiRule[] = [
  { when: isNotGoogles, failure: { kind: 'misconfigured' } },
  { when: says(STORED_RESOURCE), failure: { kind: 'request_fault', about: 'resource' } },
  { when: () => true, failure: NOT_FOR_THIS_KEY },
];

function pointsAtFields({ error }: GeminiRefusal): boolean {
  return error.details.some(({ type }) => type === 'BadRequest');
}

function isNotGoogles({ error }: GeminiRefusal): boolean {
  return !error.isGoogles;
}
