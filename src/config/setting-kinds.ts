import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { QUOTA_NAMES, type QuotaLimits, type QuotaName } from '../shared/failure.ts';
import { isJsonObject } from '../shared/json.ts';
import { cleanText, isPlaceholder } from '../shared/key-text.ts';

/*
 * What one variable may hold. A fault says what is wanted and where the value breaks, never the value,
 * which may be a key on the wrong line.
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

/** A fault never quotes the address: it may hold a password. */
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

/** A fault never quotes the address: it is a secret. */
export const webhookUrl = z.string().transform((text, context): string => {
  if (!HTTP.test(text) || !URL.canParse(text)) {
    return reject(context, 'must be an address with http:// or https://');
  }
  const { username, password } = new URL(text);
  return username + password === ''
    ? text
    : reject(context, 'must not hold a user name or a password');
});

/** The address before the API's version, without a trailing slash. */
export const baseUrl = z.string().transform((text, context): string => {
  if (!HTTP.test(text) || !URL.canParse(text)) {
    return reject(context, 'must be an address with http:// or https://');
  }
  const { username, password, origin, pathname } = new URL(text);
  if (username + password !== '') return reject(context, 'must not hold a user name or a password');
  if (/[?#]/.test(text)) return reject(context, 'must end before any "?" or "#"');
  const base = `${origin}${pathname}`.replace(/\/+$/, '');
  return VERSION_IN_PATH.test(base) ? reject(context, HAS_VERSION) : base;
});

const HTTP = /^https?:\/\//i;
const VERSION_IN_PATH = /\/v\d+(?:alpha|beta)?(?:\/openai)?$/i;

const HAS_VERSION =
  "must end before the API's version, which is added to it: without /v1 or /v1beta";

/** A JSON text whose value has the given shape. */
export const parsed = <T>(isOfShape: (value: unknown) => value is T, fault: string) =>
  z.string().transform((text, context): T => {
    try {
      const value: unknown = JSON.parse(text);
      return isOfShape(value) ? value : reject(context, fault);
    } catch (error) {
      return reject(context, `must be JSON${whereItBreaks(text, String(error))}`);
    }
  });

/** In bytes. Larger than any file that a setting names. */
const MAX_FILE = 2 ** 20;
const BYTE_ORDER_MARK = /^\ufeff/;

/** The text of the file at a path. */
export const fileText = z.string().transform((path, context): string => {
  try {
    const bytes = readFileSync(path);
    if (bytes.length > MAX_FILE) return reject(context, 'is larger than 1 MB');
    return String(bytes).replace(BYTE_ORDER_MARK, '');
  } catch (error) {
    return reject(context, `cannot be read (${codeOf(error)})`);
  }
});

const codeOf = (error: unknown) =>
  error instanceof Error && 'code' in error ? String(error.code) : 'unknown';

export const jsonObject = parsed(isJsonObject, 'must be a JSON object');

/**
 * Anam's session options. Anam ignores another form of switching the recording off, so such a form is refused
 * (https://docs.anam.ai/api-reference/create-session-token).
 */
export const sessionOptions = jsonObject.refine(
  ({ enableSessionReplay, sessionReplay = {} }) =>
    enableSessionReplay === undefined &&
    isJsonObject(sessionReplay) &&
    Object.entries(sessionReplay).every(
      ([name, value]) => name === 'enableSessionReplay' && typeof value === 'boolean',
    ),
  'must switch recording off in this form: {"sessionReplay":{"enableSessionReplay":false}}',
);

/** V8's own message would quote the text. */
function whereItBreaks(text: string, v8Message: string): string {
  const position = Number(/\bJSON at position (\d+)/.exec(v8Message)?.[1] ?? text.length);
  if (position < text.length) return `: it breaks at character ${position + 1}`;
  return /^SyntaxError: Unexpected token/.test(v8Message) ? '' : ': it ends too early';
}

export function reject(context: z.RefinementCtx, fault: string): never {
  context.addIssue(fault);
  return z.NEVER;
}

const MAX_MODELS = 50;
const MODEL_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

export const isModelName = (text: string) => MODEL_NAME.test(text);

/** One model, with or without Google's prefix `models/`. */
export const modelName = z
  .string()
  .transform((text) => text.replace(/^models\//, ''))
  .refine(isModelName, 'is not the name of a model');

/** Names of models, with or without Google's own `models/` in front; each counts once. */
export const modelNames = z.string().transform((text, context): readonly [string, ...string[]] => {
  const names = listed(text).map((name) => name.replace(/^models\//, ''));
  const wrong = names.findIndex((name) => !isModelName(name));
  if (wrong >= 0) return reject(context, `entry ${wrong + 1} is not the name of a model`);
  const [first, ...others] = new Set(names);
  if (first === undefined) return reject(context, 'must name at least one model');
  if (others.length >= MAX_MODELS) return reject(context, `takes at most ${MAX_MODELS} models`);
  return [first, ...others];
});

/** `gpt-4o-mini: gemini-flash-latest, gpt-4o: gemini-pro-latest`: the name of a model, by its alias. */
export const modelAliases = z.string().transform((text, context): ReadonlyMap<string, string> => {
  const byAlias = new Map<string, string>();
  for (const [index, entry] of listed(text).entries()) {
    const [, alias = '', model = ''] = MODEL_ALIAS.exec(entry) ?? [];
    const isRead = MODEL_NAME.test(alias) && MODEL_NAME.test(model);
    const fault = byAlias.has(alias) ? 'names an alias a second time' : WANTED_ALIAS;
    if (isRead && !byAlias.has(alias)) byAlias.set(alias, model);
    else context.addIssue(`entry ${index + 1} ${fault}`);
  }
  return byAlias.size > MAX_ALIASES
    ? reject(context, `takes at most ${MAX_ALIASES} aliases`)
    : byAlias;
});

const MAX_ALIASES = 100;
const MODEL_ALIAS = /^(?:models\/)?([^\s:]+)\s*:\s*(?:models\/)?(\S+)$/;
const WANTED_ALIAS = 'cannot be read; expected for example gpt-4o-mini: gemini-flash-latest';

/** `gemini-flash-latest: 10 rpm, 250000 tpm, 500 rpd; another-model: 5 rpm`. */
export const modelLimits = z
  .string()
  .transform((text, context): ReadonlyMap<string, QuotaLimits> => {
    const byModel = new Map<string, QuotaLimits>();
    for (const [index, entry] of entriesOf(text).entries()) {
      const [, model = '', limits = ''] = MODEL_LIMITS.exec(entry) ?? [];
      const read = byModel.has(model) ? 'names a model a second time' : readLimits(limits);
      if (typeof read === 'string') context.addIssue(`entry ${index + 1} ${read}`);
      else byModel.set(model, read);
    }
    return byModel;
  });

const entriesOf = (text: string) => text.split(/[;\n]/).filter((entry) => entry.trim() !== '');

const MODEL_LIMITS = /^\s*(?:models\/)?([\w.-]+)\s*:(.*)$/s;
const LIMIT = /^(\d[\d_]*)\s*(rpm|tpm|rpd)$/i;
const WANTED_LIMITS =
  'cannot be read; expected for example gemini-flash-latest: 10 rpm, 250000 tpm, 500 rpd';

/** @returns a fault where they cannot be read or contradict each other */
function readLimits(text: string): QuotaLimits | string {
  const limits: Partial<Record<QuotaName, number>> = {};
  for (const part of text.split(',')) {
    const [, digits = '', unit = ''] = LIMIT.exec(part.trim()) ?? [];
    const of = QUOTA_NAMES.find((name) => name === unit.toLowerCase());
    const value = Number(digits.replaceAll('_', ''));
    if (of === undefined || !Number.isSafeInteger(value)) return WANTED_LIMITS;
    if (value === 0) return `has a limit of 0 ${of}, which answers nothing`;
    if (limits[of] !== undefined) return `has two limits of ${of}`;
    limits[of] = value;
  }
  const { rpm = 0, rpd = Number.POSITIVE_INFINITY } = limits;
  return rpm > rpd ? 'allows more requests in a minute (rpm) than in a day (rpd)' : limits;
}

/** Origins as browsers send them, or `*`. */
export const origins = z.string().transform((text, context): readonly string[] => {
  const read = listed(text).map(toOrigin);
  const wrong = read.indexOf(null);
  if (wrong < 0) return [...new Set(read.filter((origin) => origin !== null))];
  const wanted = 'scheme://host or scheme://host:port without a path, or *';
  return reject(context, `entry ${wrong + 1} is not an origin: ${wanted}`);
});

const TOKEN = /^[\x21-\x7e]{16,500}$/;

const WANTED_TOKEN =
  'is no token: 16 to 500 letters, digits and signs without spaces, such as openssl rand -hex 32 prints';

function faultOfToken(text: string): string | null {
  if (isPlaceholder(text)) return 'still holds the placeholder of a template';
  return TOKEN.test(text) ? null : WANTED_TOKEN;
}

export const token = z.string().transform((text, context): string => {
  const fault = faultOfToken(text);
  return fault === null ? text : reject(context, fault);
});

const MIN_MASTER_KEY = 32;

export const masterKey = matching(
  ({ length }) => length >= MIN_MASTER_KEY,
  `must have at least ${MIN_MASTER_KEY} characters, such as openssl rand -hex 32 prints`,
).pipe(token);

export const clientTokens = z.string().transform((text, context): readonly string[] => {
  const tokens = listed(text).map(cleanText);
  const faults = tokens.map(faultOfToken);
  const wrong = faults.findIndex((fault) => fault !== null);
  if (wrong < 0) return [...new Set(tokens)];
  return reject(context, `entry ${wrong + 1} ${faults[wrong]}`);
});

const listed = (text: string): readonly string[] =>
  text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');

const BARE_ORIGIN = /^[a-z][a-z0-9+.-]*:\/\/(?:\[[\da-f:.]+\]|[^\s/?#@:[\]*\\]+)(?::\d{1,5})?$/i;

/** Browsers write an origin in lower case and without the port that its scheme implies. */
function toOrigin(entry: string): string | null {
  if (entry === '*') return entry;
  const bare = entry.replace(/\/$/, '');
  if (!BARE_ORIGIN.test(bare) || !URL.canParse(bare)) return null;
  const { origin } = new URL(bare);
  // URL has no origin for the schemes of apps, such as capacitor://localhost.
  return origin === 'null' ? bare.toLowerCase() : origin;
}
