/** What in a request may be the reason for a provider's refusal. */
export interface RequestShape {
  /** What is special about it, such as `search` or `media+schema`; null for plain text of ordinary size. */
  readonly feature: string | null;
  /** Input tokens, estimated: a quarter of the bytes, inline data included. */
  readonly tokens: number;
}

export const PLAIN = (): RequestShape => ({ feature: null, tokens: 0 });

/** For plain English these are characters; other scripts have more bytes and more tokens for each. */
const BYTES_PER_TOKEN = 4;
/** A longer request may exceed limits that ordinary ones never reach. */
const ORDINARY_TOKENS = 30_000;

/**
 * @param special the names of what is special, in any order
 * @param bytes of the whole request, inline data included
 */
export function shapeOf(special: readonly string[], bytes: number): RequestShape {
  const tokens = Math.ceil(bytes / BYTES_PER_TOKEN);
  const names = new Set(tokens > ORDINARY_TOKENS ? [...special, 'large'] : special);
  return { feature: names.size === 0 ? null : [...names].sort().join('+'), tokens };
}
