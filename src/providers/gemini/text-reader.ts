import { withoutFirstWord } from '../whole-words.ts';

/** More than this waiting to be read, in characters, and the sender is asked to pause. */
const HIGH_WATER_MARK = 65_536;

export interface FlowControl {
  pause(): void;
  resume(): void;
}

type ReadResult =
  | { readonly done: false; readonly value: string }
  | { readonly done: true; readonly value: undefined };

interface Waiting {
  resolve(result: ReadResult): void;
  reject(error: unknown): void;
}

type End = { readonly error: unknown } | 'complete';

const DONE: ReadResult = { done: true, value: undefined };

/**
 * Text on its way from a socket to one reader. Nothing is handed out while nobody wants it, so that
 * a slow client slows the provider down instead of filling our memory.
 */
export class TextReader {
  readonly #decoder = new TextDecoder('utf-8', { fatal: true });
  readonly #flow: FlowControl;
  #text = '';
  #tail = '';
  #waiting: Waiting | null = null;
  #end: End | null = null;
  #isWanted = true;
  #isPaused = false;

  constructor(flow: FlowControl) {
    this.#flow = flow;
  }

  /** The last event, complete or not: where an answer that breaks off says why. */
  get tail(): string {
    return this.#tail;
  }

  set isWanted(wanted: boolean) {
    this.#isWanted = wanted;
    if (wanted) this.#deliver();
  }

  push(bytes: Uint8Array): void {
    try {
      this.#append(withoutLineSeparators(this.#decoder.decode(bytes, { stream: true })));
    } catch (error) {
      this.finish({ error });
    }
  }

  finish(end: End): void {
    this.#end ??= end;
    this.#deliver();
  }

  read(): Promise<ReadResult> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#deliver();
    });
  }

  #append(text: string): void {
    this.#text += text;
    this.#tail = lastOf(lastEvent(this.#tail + text));
    this.#deliver();
    if (this.#text.length > HIGH_WATER_MARK && !this.#isPaused) {
      this.#isPaused = true;
      this.#flow.pause();
    }
  }

  #deliver(): void {
    const waiting = this.#waiting;
    if (waiting === null) return;
    if (this.#text !== '' && this.#isWanted) this.#handOut(waiting);
    else if (this.#text === '' && this.#end !== null) this.#close(waiting, this.#end);
  }

  #handOut(waiting: Waiting): void {
    const value = this.#text;
    this.#text = '';
    this.#waiting = null;
    waiting.resolve({ done: false, value });
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#flow.resume();
  }

  #close(waiting: Waiting, end: End): void {
    this.#waiting = null;
    if (end === 'complete') waiting.resolve(DONE);
    else waiting.reject(end.error);
  }
}

/**
 * JSON may hold these two as they are, but the SDK's pattern for an event takes them for the end of
 * a line and cannot read on. They only ever stand inside a JSON text, where this means the same.
 */
const withoutLineSeparators = (text: string) =>
  text.replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029');

function lastEvent(text: string): string {
  const last = text.trimEnd().length - 1;
  const lastBreak = Math.max(text.lastIndexOf('\n\n', last), text.lastIndexOf('\r\n\r\n', last));
  return lastBreak < 0 ? text : text.slice(lastBreak);
}

const lastOf = (text: string) =>
  text.length <= HIGH_WATER_MARK ? text : withoutFirstWord(text.slice(-HIGH_WATER_MARK));
