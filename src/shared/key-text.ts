/*
 * Rules for the text and the labels of a key, from variables, files and the operator.
 */

/** A longer text is no key: see `redact.ts`. */
export const MAX_KEY_LENGTH = 512;

/** A shorter text may be part of other texts by chance, and would be hidden in all of them. */
export const MIN_ADDED_KEY_LENGTH = 8;

/**
 * What an HTTP header carries unchanged, without quotes and backslashes: JSON escapes those, and
 * redaction would not find the key in a log line.
 */
const KEY_TEXT = /^(?:(?!["'`,\\])[!-~])+$/;

/** @returns what is wrong, without a subject and a full stop; null for nothing */
export function faultOfKeyText(text: string): string | null {
  if (KEY_TEXT.test(text)) return null;
  return 'has a character that no key has (a space, a quote, a comma, an invisible or non-ASCII one)';
}

const LABEL = /^[^\p{C}\p{Zl}\p{Zp}]{1,100}$/u;

/**
 * A key without a label has its id as its project. So a label that reads like an id is refused, whether
 * or not there is such a key: a key added later would join that project by accident. Labels are shown,
 * so none may be a key's text.
 *
 * @param providers whose names the ids of keys begin with
 * @returns a function from a label to what is wrong with it, without a subject and a full stop; null for nothing
 */
export function createLabelCheck(
  providers: readonly { readonly name: string }[],
  holdsKey: (text: string) => boolean,
): (text: string) => string | null {
  const names = providers.map(({ name }) => name).join('|');
  const idOfAKey = new RegExp(`^(?:${names})(?:-r?\\d+)?$`, 'i');
  return (text) => {
    if (!LABEL.test(text)) return 'must be 1 to 100 printable characters';
    if (idOfAKey.test(text)) return 'reads like the id of a key; choose another label';
    return holdsKey(text) ? 'holds a key where the label of its project belongs' : null;
  };
}

/**
 * Removes spaces and invisible characters around a value, and the quotes that `docker --env-file` and
 * hosting dashboards leave where dotenv would remove them.
 */
export function cleanText(raw: string): string {
  const text = raw.replace(INVISIBLE_ENDS, '');
  const quoted = WRAPPING_QUOTES.exec(text)?.[2];
  return quoted === undefined ? text : cleanText(quoted);
}

/** Spaces of every kind, and what copying from a web page brings along: BOM, zero width, bidi marks. */
const INVISIBLE_ENDS = /^[\s\p{Cf}]+|[\s\p{Cf}]+$/gu;
const WRAPPING_QUOTES = /^(["'`])(.*)\1$/su;

/**
 * Whether a key is the placeholder of a template. Only what no provider can have issued counts: a text
 * of template words alone, of filler alone, or a reference that was not expanded.
 */
export function isPlaceholder(text: string): boolean {
  if (NOT_A_KEY.some((pattern) => pattern.test(text))) return true;
  const words = text.replace(BEGINNING_OF_A_KEY, '');
  return ASKS_TO_BE_REPLACED.test(words) && words.replace(TEMPLATE_WORDS, '') === '';
}

/** Anam makes these ids: only their form is known. */
export const isPersonaId = (text: string): boolean => PERSONA_ID.test(text) && !isPlaceholder(text);

const PERSONA_ID = /^[\w.:-]{1,200}$/;

const NOT_A_KEY: readonly RegExp[] = [
  // `<key>`, `[key]`, `{{ key }}`, `__KEY__`
  /^(?:<.*>|\[.*\]|\{.*\}|__[A-Z_]+__)$/s,
  // `${VAR}`, `$(VAR)`, `$VAR`, `%VAR%`: a reference that was not expanded
  /^(?:\$\{.*\}|\$\(.*\)|\$[A-Za-z_]\w*|%\w+%)$/s,
  // `xxx`, `...`, and the same behind the beginning of a real key: `AIzaSyXXXX`
  /^(?:AIza(?:Sy)?|AQ\.)?[xX*._…-]+$/,
  // Shown in part only: `AIza…`, `AQ.abc...`, `ab***yz`
  /(?:…|\.{3})$|\*{3}/,
  /^(?:none|null|nil|undefined|empty|unset|todo|tbd|n\/a|api[-_ ]?key|key|string)$/i,
  // The name of a variable
  /^[A-Z]+_API_KEY(?:_\d+)?$/i,
];

const BEGINNING_OF_A_KEY = /^(?:AIza(?:Sy)?|AQ\.|sk-)/;
const ASKS_TO_BE_REPLACED =
  /^my[-_]|your|add|insert|enter|paste|put|replace|change|fill|here|todo|fixme|example|placeholder/i;
const TEMPLATE_WORDS =
  /your|client|admin|add|goes|get|backup|primary|secondary|main|paid|free|tier|number|insert|enter|paste|put|replace|change|fill|here|todo|fixme|example|placeholder|google|gemini|studio|generative|anam|api|keys?|token|secret|value|real|actual|own|first|second|third|another|persona|with|this|that|from|the|and|my|me|id|it|in|an|ai|[-_.:,!()\s\d]+/gi;
