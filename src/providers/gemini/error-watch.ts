import { withoutLastWord } from '../whole-words.ts';

const NAME = Buffer.from('"error"');
/** Longer than whatever may stand between the beginning of a line and the name of its first field. */
const BEFORE = 64;
const MAX_ERROR_BYTES = 65_536;

/** Where an event, the next member of a list, or an answer that is neither begins: never indented. */
const LEAD = String.raw`(?:data:[ \t]*\[?[ \t]*|[[,][ \t]*(?:\r?\n)?)?`;
const OBJECT_BEGINS = new RegExp(String.raw`(?:^|\n)${LEAD}\{\s*$`);
/** What has come of a line so far may become that. */
const MAY_BEGIN = new RegExp(
  String.raw`(?:^|\n)(d|da|dat|data|data:[ \t]*\[?[ \t]*|[[,][ \t]*\r?\n?|${LEAD}\{\s*(?:"(?:e(?:r(?:r(?:or?)?)?)?)?)?)$`,
);

const NOTHING: Buffer = Buffer.alloc(0);

/**
 * Looks out for an error in a 200 while its bytes pass by, at the price of one search for a word.
 * Only in its own events does Google write `"error"` as the first field at the beginning of a line:
 * within a text the quotes are escaped, and whatever else an answer holds is indented or further on.
 */
export class ErrorWatch {
  #held = NOTHING;
  #startsLine = true;
  #error: Buffer[] | null = null;
  #errorSize = 0;

  /** From the beginning of its event on; null while there is none. */
  get error(): string | null {
    if (this.#error === null) return null;
    const whole = Buffer.concat(this.#error);
    const text = whole.subarray(0, MAX_ERROR_BYTES).toString();
    return whole.length > MAX_ERROR_BYTES ? withoutLastWord(text) : text;
  }

  /** Whether it has come to its end, whatever the connection does. */
  get hasWholeError(): boolean {
    const { error } = this;
    return error !== null && isWhole(error);
  }

  /** @returns what may be passed on at once: all of it, but for an error and for what may become one */
  pass(bytes: Buffer): Buffer {
    if (this.#error !== null) return this.#keep(bytes);
    const all = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    const start = this.#findError(all);
    const end = start ?? all.length - this.#undecided(all);
    this.#held = start === null ? all.subarray(end) : NOTHING;
    const passed = all.subarray(0, end);
    if (passed.length > 0) this.#startsLine = passed.at(-1) === NEWLINE;
    if (start !== null) {
      this.#error = [];
      this.#keep(all.subarray(start));
    }
    return passed;
  }

  /** @returns what was held back for nothing */
  end(): Buffer {
    const held = this.#held;
    this.#held = NOTHING;
    return held;
  }

  #keep(bytes: Buffer): Buffer {
    if (this.#errorSize < MAX_ERROR_BYTES) this.#error?.push(bytes);
    this.#errorSize += bytes.length;
    return NOTHING;
  }

  #findError(all: Buffer): number | null {
    for (let at = all.indexOf(NAME); at >= 0; at = all.indexOf(NAME, at + 1)) {
      const before = this.#windowBefore(all, at);
      const begins = OBJECT_BEGINS.exec(before);
      if (begins !== null) return at - (before.length - begins.index) + leadOf(begins[0]);
    }
    return null;
  }

  #undecided(all: Buffer): number {
    return MAY_BEGIN.exec(this.#windowBefore(all, all.length))?.[1]?.length ?? 0;
  }

  /** What stands before this place, as letters; where it is cut off, it does not seem to begin a line. */
  #windowBefore(all: Buffer, at: number): string {
    const from = Math.max(0, at - BEFORE);
    const isLineStart = from === 0 && this.#startsLine;
    const window = all.toString('latin1', from, at);
    return isLineStart ? window : `x${window}`;
  }
}

const NEWLINE = 10;

/** The end of the line before belongs to what has passed. */
const leadOf = (match: string) => (match.startsWith('\n') ? 1 : 0);

function isWhole(error: string): boolean {
  const json = error
    .replace(/^data:[ \t]*/, '')
    .replace(/^[[,]\s*/, '')
    .replace(/\]\s*$/, '');
  try {
    JSON.parse(json);
    return true;
  } catch {
    return false;
  }
}
