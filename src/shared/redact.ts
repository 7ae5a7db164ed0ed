import type { Secret } from './secret.ts';

/** Replaces the text of every key, and everything that looks like a key, by a placeholder. */
export type Redact = (text: string) => string;

const REDACTED = '[redacted]';

/** Google's two key shapes and bearer credentials: a provider may echo a key that is not one of ours. */
const LOOKS_LIKE_A_KEY = /AIza[\w-]{20,}|\bAQ\.[\w-]{16,}/gi;
const BEARER = /(\bBearer\s{1,4})[\w.~+/-]{12,}=*/gi;

/**
 * Also finds keys that are escaped for a URL, a page or a JSON text, or encoded as base64. The cost hardly grows
 * with the number of keys, as long as their lengths are few.
 */
export function createRedact(secrets: Iterable<Secret>): Redact {
  const withoutOurs = createRedactOurs([...secrets].map((secret) => secret.reveal()));
  return (text) => {
    const safe = withoutOurs(text);
    // To search is much cheaper than to replace nothing.
    if (safe.search(BEARER) < 0 && safe.search(LOOKS_LIKE_A_KEY) < 0) return safe;
    return safe.replace(BEARER, `$1${REDACTED}`).replace(LOOKS_LIKE_A_KEY, REDACTED);
  };
}

function createRedactOurs(texts: readonly string[]): Redact {
  if (texts.length === 0) return (text) => text;
  const forms = new Set(texts.flatMap((text) => [text, ...base64Forms(text)]));
  const lengths = [...new Set([...forms].map(({ length }) => length))].sort((a, b) => b - a);
  const shortest = lengths.at(-1) ?? 1;
  const beginning = Math.min(shortest, BEGINNING);
  const beginnings = new Set([...forms].map((form) => form.slice(0, beginning)));
  const firsts = lettersOf([...forms].map((form) => form.charAt(0)));
  const mayBegin = (word: string, at: number): boolean =>
    firsts[word.charCodeAt(at)] === 1 && beginnings.has(word.slice(at, at + beginning));
  const letters = lettersOf([LETTERS_OF_ESCAPES, ...forms]);

  const redactIn = (word: string): string => {
    let safe = '';
    let kept = 0;
    for (let at = 0; at + shortest <= word.length; at += 1) {
      if (!mayBegin(word, at)) continue;
      const length = lengths.find((candidate) => forms.has(word.slice(at, at + candidate)));
      if (length === undefined) continue;
      safe += word.slice(kept, at) + REDACTED;
      kept = at + length;
      at = kept - 1;
    }
    return safe + word.slice(kept);
  };
  const redactWord = (word: string): string => {
    const plain = decode(word);
    if (plain !== word && redactIn(plain) !== plain) return REDACTED;
    return redactIn(word);
  };
  // A key can only be in a word of enough of the keys' own letters, and steps of that length miss none.
  return (text) => {
    let safe = '';
    let kept = 0;
    for (let at = shortest - 1; at < text.length; at += shortest) {
      if (letters[text.charCodeAt(at)] !== 1) continue;
      const [from, to] = wordAround(at, text, letters);
      if (to - from >= shortest) {
        safe += text.slice(kept, from) + redactWord(text.slice(from, to));
        kept = to;
      }
      at = to - 1;
    }
    return safe + text.slice(kept);
  };
}

function wordAround(at: number, text: string, letters: Uint8Array): [from: number, to: number] {
  let from = at;
  let to = at + 1;
  while (letters[text.charCodeAt(from - 1)] === 1) from -= 1;
  while (letters[text.charCodeAt(to)] === 1) to += 1;
  return [from, to];
}

/** Long enough to be rare in other texts, so that the lengths of keys are seldom tried. */
const BEGINNING = 8;

/**
 * Base64 encodes three bytes as four letters, so a key has another form for each offset within the three.
 * The letters at both ends depend on the text around the key and are left out.
 */
function base64Forms(text: string): readonly string[] {
  return [0, 1, 2].flatMap((place) => {
    const bytes = Buffer.from(' '.repeat(place) + text);
    const [from, to] = [place === 0 ? 0 : 4, Math.floor(bytes.length / 3) * 4];
    const forms = [bytes.toString('base64'), bytes.toString('base64url')];
    return to - from < 8 ? [] : forms.map((form) => form.slice(from, to));
  });
}

/** Of those that `decode` knows. */
const LETTERS_OF_ESCAPES = '0123456789abcdefABCDEFuxX%&#;\\';

/** 1 at the code of every letter of these texts. */
function lettersOf(texts: Iterable<string>): Uint8Array {
  const letters = new Uint8Array(0x10000);
  for (const text of texts) {
    for (let at = 0; at < text.length; at += 1) letters[text.charCodeAt(at)] = 1;
  }
  return letters;
}

const ESCAPE = /%([\da-f]{2})|&#x0*([\da-f]{1,4});|\\u([\da-f]{4})|&#0*(\d{1,4});|\\(.)/gi;

/** A text may be escaped more than once. */
const MAX_LAYERS = 3;

/** Replaces the escapes of a URL, a page and a JSON text by what they stand for. */
function decode(word: string): string {
  let plain = word;
  for (let layer = 0; layer < MAX_LAYERS && /[%&\\]/.test(plain); layer += 1) {
    plain = plain.replace(ESCAPE, (_, url, page, json, decimal, letter) => {
      if (letter !== undefined) return letter;
      const hexadecimal = url ?? page ?? json;
      return String.fromCharCode(
        decimal === undefined ? Number.parseInt(hexadecimal, 16) : Number(decimal),
      );
    });
  }
  return plain;
}

/** No key is longer than this. */
const MAX_WORD = 512;
const WORD_AT_START = /^[^\s"',:;<>(){}[\]]+/;
const WORD_AT_END = /[^\s"',:;<>(){}[\]]+$/;

// A provider's text is cut at a whole word: redaction would not find half a key at the cut.

/** @param cut the beginning of a text that was cut off at its end */
export function withoutLastWord(cut: string): string {
  return cut.slice(0, -MAX_WORD) + cut.slice(-MAX_WORD).replace(WORD_AT_END, '');
}

/** @param cut the end of a text that was cut off at its beginning */
export function withoutFirstWord(cut: string): string {
  return cut.slice(0, MAX_WORD).replace(WORD_AT_START, '') + cut.slice(MAX_WORD);
}
