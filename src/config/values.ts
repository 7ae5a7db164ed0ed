import { z } from 'zod';
import { isJsonObject, type JsonObject } from '../shared/json.ts';

/**
 * What one variable may hold. A fault says what is wanted and where the value breaks, never the value:
 * somebody may have put a key on the wrong line.
 */
export const matching = (isValid: (text: string) => boolean, fault: string) =>
  z.string().refine(isValid, fault);

export function wholeNumber(min: number, max: number) {
  const fault = `must be a whole number from ${min} to ${max}`;
  return matching((text) => /^\d+$/.test(text), fault)
    .transform(Number)
    .refine((value) => value >= min && value <= max, fault);
}

/** @returns milliseconds, whole ones; 0 only where `zero` is allowed. */
export function seconds(max: number, zero: 'or zero' | 'not zero' = 'not zero') {
  const [minMs, range] = zero === 'or zero' ? [0, '0 or more'] : [1, 'more than 0'];
  const fault = `must be a number of seconds, ${range} and at most ${max}`;
  return matching((text) => /^(?:\d+(?:\.\d*)?|\.\d+)$/.test(text), fault)
    .transform((text) => Math.round(Number(text) * 1000))
    .refine((ms) => ms >= minMs && ms <= max * 1000, fault);
}

/** One of these words, in upper or lower case. */
export function oneOf<const Word extends string>(words: readonly Word[]) {
  const fault = `must be one of ${words.join(', ')}`;
  return z.string().toLowerCase().pipe(z.enum(words, fault));
}

export const flag = oneOf(['true', 'false', '1', '0']).transform(
  (word) => word === 'true' || word === '1',
);

export const proxyHops = matching(
  (text) => !/^true$/i.test(text),
  'must be the number of proxies in front of this server: "true" would let callers claim any address',
).pipe(wholeNumber(0, 10));

/** Whatever else it holds, its password is never said. */
export const redisUrl = z.string().transform((text, context): string => {
  const fault = 'must be an address with redis:// or rediss:// and a host';
  if (!/^rediss?:\/\//i.test(text) || !URL.canParse(text)) return reject(context, fault);
  const { hostname, pathname, username, password } = new URL(text);
  if (hostname === '') return reject(context, fault);
  if (!DATABASE.test(pathname)) return reject(context, 'may end in a database from 0 to 15 alone');
  if (!isDecodable(username + password)) {
    return reject(context, 'must write a % in its user or password as %25');
  }
  return text;
});

const DATABASE = /^\/?(?:\d|1[0-5])?$/;

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

/** The address before the API's version, without a trailing slash. */
export const baseUrl = z.string().transform((text, context): string => {
  const url = readUrl(text);
  return typeof url === 'string' ? reject(context, url) : withoutTrailingSlash(url);
});

const HTTP = /^https?:\/\//i;
const VERSION_IN_PATH = /\/v\d+(?:alpha|beta)?(?:\/openai)?$/i;

/** @returns the address, or the fault. */
function readUrl(text: string): URL | string {
  if (!HTTP.test(text) || !URL.canParse(text)) return 'must be an address with http:// or https://';
  const url = new URL(text);
  if (url.username !== '' || url.password !== '') return 'must not hold a user name or a password';
  if (/[?#]/.test(text)) return 'must end before any "?" or "#"';
  if (!VERSION_IN_PATH.test(withoutTrailingSlash(url))) return url;
  return "must end before the API's version, which is added to it: without /v1 or /v1beta";
}

const withoutTrailingSlash = (url: URL) => `${url.origin}${url.pathname}`.replace(/\/+$/, '');

export const jsonObject = z.string().transform((text, context): JsonObject => {
  const read = readJsonObject(text);
  return typeof read === 'object' ? read : reject(context, read);
});

/** @returns the object, or the fault: V8's own message would quote the text. */
function readJsonObject(text: string): JsonObject | string {
  try {
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) ? value : 'must be a JSON object';
  } catch (error) {
    return `must be JSON${whereItBreaks(text, String(error))}`;
  }
}

function whereItBreaks(text: string, v8Message: string): string {
  const position = Number(/\bJSON at position (\d+)/.exec(v8Message)?.[1] ?? text.length);
  if (position < text.length) return `: it breaks at character ${position + 1}`;
  return /^SyntaxError: Unexpected token/.test(v8Message) ? '' : ': it ends too early';
}

/** Says why a text cannot become a value. */
export function reject(context: z.RefinementCtx, fault: string): never {
  context.addIssue(fault);
  return z.NEVER;
}
