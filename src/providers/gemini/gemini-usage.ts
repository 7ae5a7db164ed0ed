import type { Usage } from '../../shared/failure.ts';
import { isJsonObject, type JsonObject, parseJson } from '../../shared/json.ts';

/** @param metadata as the provider writes it (https://ai.google.dev/api/generate-content#UsageMetadata) */
export function toUsage(metadata: JsonObject | null | undefined): Usage {
  const count = (name: string) => toCount(metadata?.[name]);
  const inputTokens = count('promptTokenCount') ?? 0;
  const thoughtTokens = count('thoughtsTokenCount') ?? 0;
  const outputTokens = (count('candidatesTokenCount') ?? 0) + thoughtTokens;
  const totalTokens = count('totalTokenCount') ?? inputTokens + outputTokens;
  const cachedTokens = count('cachedContentTokenCount') ?? 0;
  return { inputTokens, outputTokens, totalTokens, cachedTokens, thoughtTokens };
}

/** More than any answer has: sums stay whole numbers. */
const MAX_TOKENS = 1e9;

const toCount = (value: unknown) =>
  typeof value === 'number' && value >= 0 && value <= MAX_TOKENS ? Math.round(value) : undefined;

/** In bytes: the usage stands at the end of an answer, or of each event. */
const MAX_TAIL = 8192;

/** The last bytes of an answer that is relayed unread. They are kept as they are, and read once. */
export class AnswerTail {
  /** Together at least as long as the tail, where the answer is. */
  #older: Buffer[] = [];
  #newer: Buffer[] = [];
  #size = 0;

  keep(bytes: Buffer): void {
    if (this.#size >= MAX_TAIL) {
      this.#older = this.#newer;
      this.#newer = [];
      this.#size = 0;
    }
    this.#newer.push(bytes);
    this.#size += bytes.length;
  }

  /** Null where the answer names none. */
  usage(): Usage | null {
    const kept = Buffer.concat([...this.#older, ...this.#newer]);
    return lastUsage(kept.toString('latin1', Math.max(0, kept.length - MAX_TAIL)));
  }
}

/** Within a text of the model its quotes are escaped. */
const NAME = '"usageMetadata"';
const BEFORE_VALUE = /\s*:\s*(?=\{)/y;

/** The last object may be cut off: then the one before counts. */
function lastUsage(text: string): Usage | null {
  let at = text.lastIndexOf(NAME);
  while (at >= 0) {
    const metadata = parseJson(objectAfter(text, at + NAME.length));
    if (isJsonObject(metadata)) return toUsage(metadata);
    at = at === 0 ? -1 : text.lastIndexOf(NAME, at - 1);
  }
  return null;
}

/** Empty where there is no whole object. None of its texts holds a brace. */
function objectAfter(text: string, from: number): string {
  BEFORE_VALUE.lastIndex = from;
  if (!BEFORE_VALUE.test(text)) return '';
  const start = BEFORE_VALUE.lastIndex;
  let depth = 0;
  for (let at = start; at < text.length; at += 1) {
    if (text[at] === '{') depth += 1;
    else if (text[at] === '}') depth -= 1;
    if (depth === 0) return text.slice(start, at + 1);
  }
  return '';
}
