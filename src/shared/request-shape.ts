/** What a request has in it that a provider may refuse for the request's own sake. */
export interface RequestShape {
  /** What is special about it, such as `search` or `media+schema`; null for plain text of ordinary size. */
  readonly feature: string | null;
  /** Input tokens, estimated: characters / 4, inline data by its size. */
  readonly tokens: number;
}

export const PLAIN = (): RequestShape => ({ feature: null, tokens: 0 });

const CHARACTERS_PER_TOKEN = 4;
/** A longer request may meet limits that ordinary ones never see. */
const ORDINARY_TOKENS = 30_000;

/**
 * @param special the names of what is special, in any order
 * @param characters of the whole request, inline data included
 */
export function shapeOf(special: readonly string[], characters: number): RequestShape {
  const tokens = Math.ceil(characters / CHARACTERS_PER_TOKEN);
  const names = new Set(tokens > ORDINARY_TOKENS ? [...special, 'large'] : special);
  return { feature: names.size === 0 ? null : [...names].sort().join('+'), tokens };
}
