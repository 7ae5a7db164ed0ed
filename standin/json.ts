export type JsonObject = Readonly<Record<string, unknown>>;

/** @returns undefined for a text that is no JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const isFilled = (value: unknown): value is string =>
  typeof value === 'string' && value !== '';
