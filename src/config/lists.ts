import { z } from 'zod';
import { cleanText, isPlaceholder } from './text.ts';
import { reject } from './values.ts';

const MAX_MODELS = 50;
const MODEL_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

/** Names of models, with or without Google's own `models/` in front; each counts once. */
export const modelNames = z.string().transform((text, context): readonly [string, ...string[]] => {
  const names = listed(text).map((name) => name.replace(/^models\//, ''));
  const wrong = names.findIndex((name) => !MODEL_NAME.test(name));
  if (wrong >= 0) return reject(context, `entry ${wrong + 1} is not the name of a model`);
  const [first, ...others] = new Set(names);
  if (first === undefined) return reject(context, 'must name at least one model');
  if (others.length >= MAX_MODELS) return reject(context, `takes at most ${MAX_MODELS} models`);
  return [first, ...others];
});

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

/** Too short a one could be guessed. */
function faultOfToken(text: string): string | null {
  if (isPlaceholder(text)) return 'still holds the placeholder of a template';
  return TOKEN.test(text) ? null : WANTED_TOKEN;
}

/** What opens a door. */
export const token = z.string().transform((text, context): string => {
  const fault = faultOfToken(text);
  return fault === null ? text : reject(context, fault);
});

/** Tokens of programs that may call us. */
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
