import { createHash, timingSafeEqual } from 'node:crypto';
import { inspect } from 'node:util';

/**
 * The text of a key or a token, wrapped so that printing it in any way shows its id instead.
 * `reveal()` is the only way to the text: to send it, compare it or redact it.
 */
export class Secret {
  readonly #text: string;
  readonly id: string;

  constructor(id: string, text: string) {
    this.id = id;
    this.#text = text;
  }

  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return `[${this.id}]`;
  }

  toJSON(): string {
    return this.toString();
  }

  [inspect.custom](): string {
    return this.toString();
  }
}

/**
 * Compares a text with all of these tokens in constant time.
 *
 * @returns the id of the token that it equals, or null
 */
export function createTokenCheck(tokens: readonly Secret[]): (given: string) => string | null {
  const known = tokens.map((token) => ({ id: token.id, digest: digestOf(token.reveal()) }));
  return (given) => {
    const digest = digestOf(given);
    const [found] = known.filter((token) => timingSafeEqual(token.digest, digest));
    return found?.id ?? null;
  };
}

/** SHA-256 of lines of text. */
export const digestOf = (...lines: readonly string[]): Buffer =>
  createHash('sha256').update(lines.join('\n')).digest();
