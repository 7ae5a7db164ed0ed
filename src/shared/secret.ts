import { createHash, hash } from 'node:crypto';
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
 * Looks a text up among these tokens by its digest, so that the time does not depend on how much of a token is right.
 *
 * @returns the id of the token that it equals, or null
 */
export function createTokenCheck(tokens: readonly Secret[]): (given: string) => string | null {
  const ids = new Map(tokens.map((token) => [digestOfToken(token.reveal()), token.id]));
  return (given) => ids.get(digestOfToken(given)) ?? null;
}

/** SHA-256 of a token, in hexadecimal digits. */
export const digestOfToken = (token: string): string => hash('sha256', token);

/** SHA-256 of lines of text. */
export const digestOf = (...lines: readonly string[]): Buffer =>
  createHash('sha256').update(lines.join('\n')).digest();
