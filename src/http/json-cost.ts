import { MEGABYTE } from './body-limit.ts';

/** No conversation has as many. To parse millions of them blocks the process for seconds. */
const MAX_VALUES = 250_000;

/**
 * Whether a large JSON text would take too long to parse, because it is no image and no long text but
 * a great many values. A text of up to a megabyte is parsed whatever it holds.
 */
export function holdsTooManyValues(json: string | Buffer): boolean {
  if (json.length <= MEGABYTE) return false;
  const bytes = typeof json === 'string' ? Buffer.from(json) : json;
  let values = 0;
  for (let at = 0; at < bytes.length && values <= MAX_VALUES; at += 1) {
    const byte = bytes[at];
    if (byte === QUOTE) at = endOfString(bytes, at);
    else if (byte === COMMA || byte === BRACKET || byte === BRACE) values += 1;
  }
  return values > MAX_VALUES;
}

/** What refuses such a body, in the way of body-parser's own faults. */
export const TOO_MANY_VALUES = 'entity.too.many.values';

/** For the option `verify` of Express' parsers, which run it before they parse. */
export function refuseTooManyValues(_request: unknown, _response: unknown, body: Buffer): void {
  if (!holdsTooManyValues(body)) return;
  throw Object.assign(new Error(TOO_MANY_VALUES), { type: TOO_MANY_VALUES });
}

const [QUOTE, BACKSLASH, COMMA, BRACKET, BRACE] = Buffer.from('"\\,[{');

/** @returns where the string ends that begins here */
function endOfString(bytes: Buffer, start: number): number {
  let at = start + 1;
  while (at < bytes.length && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
  return at;
}
