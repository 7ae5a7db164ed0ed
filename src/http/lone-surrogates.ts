const HEX = String.raw`[\da-fA-F]{2}`;
const HIGH = String.raw`\\u[dD][89abAB]${HEX}`;
const LOW = String.raw`\\u[dD][c-fC-F]${HEX}`;
/** An escape begins with a backslash that no other backslash escapes. */
const UNESCAPED = String.raw`(?<!\\)(?:\\\\)*`;
const LONE = new RegExp(
  `${HIGH}(?!${LOW})(?<=${UNESCAPED}${HIGH})|${LOW}(?<=${UNESCAPED}${LOW})(?<!${UNESCAPED}${HIGH}${LOW})`,
  'g',
);
const REPLACEMENT = String.raw`\ufffd`;

/**
 * Replaces each escape of half a surrogate pair in a JSON text by the escape of U+FFFD. Google refuses a
 * text with half a pair, and a client that cuts texts by length cannot repair its history.
 */
export const replaceLoneSurrogates = (json: string): string => json.replace(LONE, REPLACEMENT);

/** The same in place. UTF-8 itself cannot hold half a pair, and both escapes have six bytes. */
export function replaceLoneSurrogatesIn(json: Buffer): void {
  if (!json.includes(String.raw`\ud`) && !json.includes(String.raw`\uD`)) return;
  json.write(replaceLoneSurrogates(json.toString('latin1')), 'latin1');
}
