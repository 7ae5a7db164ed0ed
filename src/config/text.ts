/**
 * What somebody meant to type: without spaces and invisible characters around it, and without the
 * quotes that `docker --env-file` and hosting dashboards leave where dotenv would remove them.
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
 * Whether a key is what a template leaves for others to fill in. Only what no provider can have
 * issued counts: a text of template words alone, of filler alone, or a reference nobody expanded.
 */
export function isPlaceholder(text: string): boolean {
  if (NOT_A_KEY.some((pattern) => pattern.test(text))) return true;
  const words = text.replace(BEGINNING_OF_A_KEY, '');
  return ASKS_TO_BE_REPLACED.test(words) && words.replace(TEMPLATE_WORDS, '') === '';
}

/** An id from somebody else's service: only its form is known. */
export const isPersonaId = (text: string): boolean => PERSONA_ID.test(text) && !isPlaceholder(text);

const PERSONA_ID = /^[\w.:-]{1,200}$/;

const NOT_A_KEY: readonly RegExp[] = [
  // `<key>`, `[key]`, `{{ key }}`, `__KEY__`
  /^(?:<.*>|\[.*\]|\{.*\}|__[A-Z_]+__)$/s,
  // `${VAR}`, `$(VAR)`, `$VAR`, `%VAR%`: a reference that nobody expanded
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
