import { inspect } from 'node:util';

/**
 * The text of a key or a token, wrapped so that printing it in any way shows its id instead.
 * `reveal()` is the one way in, for who sends it, compares it or keeps it out of texts.
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
