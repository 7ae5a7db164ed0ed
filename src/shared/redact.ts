import type { Secret } from './secret.ts';

/** Replaces every key's text, and whatever looks like one, by a placeholder. */
export type Redact = (text: string) => string;

const REDACTED = '[redacted]';

/** Google's two key shapes and bearer credentials: a provider may echo a key that is not one of ours. */
const LOOKS_LIKE_A_KEY = /AIza[\w-]{20,}|\bAQ\.[\w-]{16,}|(?<=\bBearer\s{1,4})[\w.~+/-]{12,}=*/gi;

/**
 * Whoever echoes a key may have written it for a URL, a page, a JSON text or as base64: it is found in
 * these forms too. Costs hardly more for thousands of keys than for one, as long as their lengths are few.
 */
export function createRedact(secrets: Iterable<Secret>): Redact {
  const withoutOurs = createRedactOurs([...secrets].map((secret) => secret.reveal()));
  return (text) => withoutOurs(text).replace(LOOKS_LIKE_A_KEY, REDACTED);
}

function createRedactOurs(texts: readonly string[]): Redact {
  if (texts.length === 0) return (text) => text;
  const forms = new Set(texts.flatMap((text) => [text, ...base64Forms(text)]));
  const lengths = [...new Set([...forms].map(({ length }) => length))].sort((a, b) => b - a);
  const shortest = lengths.at(-1) ?? 1;
  const beginning = Math.min(shortest, BEGINNING);
  const beginnings = new Set([...forms].map((form) => form.slice(0, beginning)));
  const letter = `[${alphabetOf(forms)}]`;
  // Only where enough of the keys' own letters stand together can a key be; looked at from its beginning alone.
  const words = new RegExp(`(?<!${letter})${letter}{${shortest},}`, 'g');

  const redactIn = (word: string): string => {
    let safe = '';
    let kept = 0;
    for (let at = 0; at + shortest <= word.length; at += 1) {
      if (!beginnings.has(word.slice(at, at + beginning))) continue;
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
  return (text) => text.replace(words, redactWord);
}

/** Long enough to be rare in other texts, so that the many lengths of keys are seldom tried. */
const BEGINNING = 8;

/**
 * Three letters are written as four, so the key looks another way for each place in its three at which
 * it may begin. Without the letters at both ends, which depend on what was encoded beside the key.
 */
function base64Forms(text: string): readonly string[] {
  return [0, 1, 2].flatMap((place) => {
    const bytes = Buffer.from(' '.repeat(place) + text);
    const [from, to] = [place === 0 ? 0 : 4, Math.floor(bytes.length / 3) * 4];
    const forms = [bytes.toString('base64'), bytes.toString('base64url')];
    return to - from < 8 ? [] : forms.map((form) => form.slice(from, to));
  });
}

/** Every letter of the forms and of the escapes that `decode` knows, for use in a pattern. */
function alphabetOf(forms: Iterable<string>): string {
  const letters = new Set('0123456789abcdefABCDEFuxX%&#;\\');
  for (const form of forms) for (const letter of form.split('')) letters.add(letter);
  const toEscape = (letter: string) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return [...letters].map(toEscape).join('');
}

const ESCAPE = /%([\da-f]{2})|&#x0*([\da-f]{1,4});|\\u([\da-f]{4})|&#0*(\d{1,4});|\\(.)/gi;

/** Somebody may have escaped what was escaped already. */
const MAX_LAYERS = 3;

/** What a URL's, a page's and a JSON text's escapes stand for. */
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

/*
 * A provider's text is cut at a whole word: redaction would not find half a key at the cut.
 */

/** @param cut the beginning of a text that was cut off at its end */
export function withoutLastWord(cut: string): string {
  return cut.slice(0, -MAX_WORD) + cut.slice(-MAX_WORD).replace(WORD_AT_END, '');
}

/** @param cut the end of a text that was cut off at its beginning */
export function withoutFirstWord(cut: string): string {
  return cut.slice(0, MAX_WORD).replace(WORD_AT_START, '') + cut.slice(MAX_WORD);
}
