/** No key is longer; beyond that a long word is only a long word. */
const MAX_WORD = 512;
const WORD_AT_START = /^[^\s"',:;<>(){}[\]]+/;
const WORD_AT_END = /[^\s"',:;<>(){}[\]]+$/;

/*
 * Where we cut a provider's text we cut at a whole word: half a key at the cut would pass every
 * redaction.
 */

/** The beginning of a text that was cut off at its end. */
export function withoutLastWord(cut: string): string {
  return cut.slice(0, -MAX_WORD) + cut.slice(-MAX_WORD).replace(WORD_AT_END, '');
}

/** The end of a text that was cut off at its beginning. */
export function withoutFirstWord(cut: string): string {
  return cut.slice(0, MAX_WORD).replace(WORD_AT_START, '') + cut.slice(MAX_WORD);
}
