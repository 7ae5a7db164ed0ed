import type { Secret } from './secret.ts';

/** Replaces every key's text, and whatever looks like one, by a placeholder. */
export type Redact = (text: string) => string;

const REDACTED = '[redacted]';

/** Google's two key shapes and bearer credentials: a provider may echo a key that is not one of ours. */
const LOOKS_LIKE_A_KEY = /AIza[\w-]{20,}|\bAQ\.[\w-]{16,}|(?<=\bBearer\s{1,4})[\w.~+/-]{12,}=*/gi;

/**
 * Whoever echoes a key may have written it for a URL, a page, a JSON text or as base64: it is found in
 * these forms too. Costs the same for one key as for thousands.
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
  const letter = `[${alphabetOf(forms)}]`;
  // Only where enough of the keys' own letters stand together can a key be; looked at from its beginning alone.
  const words = new RegExp(`(?<!${letter})${letter}{${shortest},}`, 'g');

  const redactIn = (word: string): string => {
    let safe = '';
    for (let at = 0; at < word.length; ) {
      const length = lengths.find((candidate) => forms.has(word.slice(at, at + candidate)));
      safe += length === undefined ? word.charAt(at) : REDACTED;
      at += length ?? 1;
    }
    return safe;
  };
  const redactWord = (word: string): string => {
    const plain = decode(word);
    if (plain !== word && redactIn(plain) !== plain) return REDACTED;
    return redactIn(word);
  };
  return (text) => text.replace(words, redactWord);
}

/** Without the last letters, which depend on what was encoded behind the key. */
function base64Forms(text: string): readonly string[] {
  const whole = Math.floor(Buffer.byteLength(text) / 3) * 4;
  if (whole < 8) return [];
  return (['base64', 'base64url'] as const).map((form) =>
    Buffer.from(text).toString(form).slice(0, whole),
  );
}

/** Every letter of the forms and of the escapes that `decode` knows, for use in a pattern. */
function alphabetOf(forms: Iterable<string>): string {
  const letters = new Set('0123456789abcdefABCDEFuxX%&#;\\');
  for (const form of forms) for (const letter of form.split('')) letters.add(letter);
  const toEscape = (letter: string) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return [...letters].map(toEscape).join('');
}

const ESCAPE = /%([\da-f]{2})|&#x([\da-f]{1,4});|\\u([\da-f]{4})|&#(\d{1,4});|\\(.)/gi;

/** What a URL's, a page's and a JSON text's escapes stand for. */
function decode(word: string): string {
  if (!/[%&\\]/.test(word)) return word;
  return word.replace(ESCAPE, (_, url, page, json, decimal, letter) => {
    if (letter !== undefined) return letter;
    const code = decimal === undefined ? Number.parseInt(url ?? page ?? json, 16) : Number(decimal);
    return String.fromCharCode(code);
  });
}
