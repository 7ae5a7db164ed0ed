import type { BodyReader } from './exchange.ts';
import type { FlowControl } from './text-reader.ts';

/** More than this waiting to be taken, in bytes, and the sender is asked to pause. */
const HIGH_WATER_MARK = 65_536;

/** Bytes on their way from a socket to one reader, as they came: nothing is copied. */
export class ByteReader implements BodyReader {
  readonly #flow: FlowControl;
  #waiting: Buffer[] = [];
  #size = 0;
  #isPaused = false;
  #end: { readonly error: unknown } | 'complete' | null = null;
  #wake: (() => void) | null = null;

  constructor(flow: FlowControl) {
    this.#flow = flow;
  }

  push(bytes: Buffer): void {
    this.#waiting.push(bytes);
    this.#size += bytes.length;
    if (this.#size > HIGH_WATER_MARK && !this.#isPaused) {
      this.#isPaused = true;
      this.#flow.pause();
    }
    this.#wake?.();
  }

  finish(end: { readonly error: unknown } | 'complete'): void {
    this.#end ??= end;
    this.#wake?.();
  }

  /** @returns what has come since the last time, or null at the end; throws where the body breaks off */
  async take(): Promise<Buffer | null> {
    while (this.#waiting.length === 0 && this.#end === null) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const [first, ...rest] = this.#waiting;
    if (first !== undefined) return this.#handOut(first, rest);
    if (this.#end !== 'complete' && this.#end !== null) throw this.#end.error;
    return null;
  }

  #handOut(first: Buffer, rest: readonly Buffer[]): Buffer {
    this.#waiting = [];
    this.#size = 0;
    if (this.#isPaused) {
      this.#isPaused = false;
      this.#flow.resume();
    }
    return rest.length === 0 ? first : Buffer.concat([first, ...rest]);
  }
}
