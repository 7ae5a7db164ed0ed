import { inspect } from 'node:util';

/**
 * A key's text, wrapped so that printing it in any way shows the key's id instead.
 * `reveal()` is the one way in, and only `upstream/` calls it.
 */
export class Secret {
  readonly #text: string;
  readonly #id: string;

  constructor(id: string, text: string) {
    this.#id = id;
    this.#text = text;
  }

  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return `[${this.#id}]`;
  }

  toJSON(): string {
    return this.toString();
  }

  [inspect.custom](): string {
    return this.toString();
  }
}
