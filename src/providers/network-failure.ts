import type { Failure } from '../shared/failure.ts';
import { asText } from '../shared/json.ts';
import type { Redact } from '../shared/redact.ts';
import { decide, describeFailure, type Rule, TIMED_OUT, UPSTREAM_DOWN } from './failure-rules.ts';

/**
 * Classifies what was thrown before any answer came: connection, DNS, TLS, time. The real reason is often
 * in `cause`, or among the `errors` of one attempt for each address. Never throws.
 *
 * An abort of our own is not recognised here: the owner of the signal knows why it fired.
 */
export function classifyNetworkError(error: unknown, redact: Redact): Failure {
  const chain = readChain(error);
  return describeFailure(decide(RULES, chain, UPSTREAM_DOWN), toText(chain), redact);
}

/** One error of the chain, reduced to what identifies it. */
interface Link {
  readonly name: string;
  readonly code: string;
  readonly message: string;
}

/** Node, undici and axios refuse to send: a setting of ours is wrong. */
const UNUSABLE_REQUEST =
  /^(?:ERR_(?:INVALID_URL|INVALID_PROTOCOL|INVALID_CHAR|INVALID_HTTP_TOKEN|UNESCAPED_CHARACTERS)|UND_ERR_INVALID_ARG)$/;
/** The same where there is no code: `fetch`, its headers (bytes only), and axios's adapter. */
const UNUSABLE_REQUEST_TEXT =
  /\bunsupported protocol\b|\bprotocol \S+ not supported|\bunknown scheme\b|\b(?:failed to parse|invalid) url\b|\bbad port\b|\binvalid header (?:name|value)\b|\binvalid character in header\b|\bto a ByteString\b/i;
/** `ETIMEDOUT`, `ESOCKETTIMEDOUT`, `UND_ERR_CONNECT_TIMEOUT` and its siblings. */
const TIMEOUT_CODE = /TIMEDOUT$|_TIMEOUT$/;
/** axios uses ECONNABORTED for its own timeout and for an abort: the message distinguishes them. */
const TIMEOUT_TEXT = /\btime(?:d )?-?out\b|TIMEDOUT\b/i;

const RULES: readonly Rule<readonly Link[]>[] = [
  { when: (chain) => chain.some(isUnusableRequest), failure: { kind: 'misconfigured' } },
  { when: (chain) => chain.some(isTimeout), failure: TIMED_OUT },
];

const isUnusableRequest = ({ code, message }: Link) =>
  UNUSABLE_REQUEST.test(code) || UNUSABLE_REQUEST_TEXT.test(message);

const isTimeout = ({ name, code, message }: Link) =>
  name === 'TimeoutError' || TIMEOUT_CODE.test(code) || TIMEOUT_TEXT.test(message);

/** Enough for any real chain; it also ends a circular one. */
const MAX_LINKS = 8;

function readChain(error: unknown): readonly Link[] {
  const links: Link[] = [];
  const waiting = [error];
  while (waiting.length > 0 && links.length < MAX_LINKS) {
    const current = waiting.shift();
    links.push(readLink(current));
    waiting.push(...readReasons(current));
  }
  return links;
}

function readLink(error: unknown): Link {
  const isThing = typeof error === 'object' && error !== null;
  if (!isThing) return { name: '', code: '', message: asText(error) };
  const { name, code, message } = error as Record<keyof Link, unknown>;
  return { name: asText(name), code: asText(code), message: asText(message) };
}

function readReasons(error: unknown): readonly unknown[] {
  if (typeof error !== 'object' || error === null) return [];
  const { cause, errors } = error as { cause?: unknown; errors?: unknown };
  const siblings = Array.isArray(errors) ? errors.slice(0, MAX_LINKS) : [];
  return cause === undefined ? siblings : [cause, ...siblings];
}

/** "fetch failed: connect ECONNREFUSED 127.0.0.1:1": each message once, a code where none has it. */
function toText(chain: readonly Link[]): string {
  const texts = chain.map(({ message, code, name }) => message || code || name).filter(Boolean);
  const missing = chain
    .map(({ code }) => code)
    .filter((code) => code !== '' && !texts.some((text) => text.includes(code)));
  return [...new Set([...texts, ...missing])].join(': ') || 'network error without a message';
}
