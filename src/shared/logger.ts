import { write, writeSync } from 'node:fs';
import { type DestinationStream, type Logger, pino } from 'pino';
import { type Clock, isoTime, type Timer } from './clock.ts';
import type { Redact } from './redact.ts';

export type { Logger };

export interface LoggerOptions {
  /** One of pino's levels, or `silent`. */
  readonly level: string;
  readonly redact: Redact;
  /** Default: standard output, each line at once. */
  readonly destination?: DestinationStream;
}

/** Structured logs, one JSON object a line. Every line passes `redact`. */
export function createLogger({ level, redact, destination }: LoggerOptions): Logger {
  const hooks = { streamWrite: redact };
  return pino(
    { level, base: null, timestamp: createTimestamp(), hooks },
    destination ?? pino.destination({ fd: STANDARD_OUTPUT, sync: true }),
  );
}

/** Lines of one millisecond share its text: formatting a date is expensive. */
function createTimestamp(): () => string {
  let at = -1;
  let text = '';
  return () => {
    const now = Date.now();
    if (now !== at) text = `,"time":"${isoTime(now)}"`;
    at = now;
    return text;
  };
}

export const STANDARD_OUTPUT = 1;

/** After a write lines are collected for so long, or until there are so many characters. */
const PAUSE_MS = 100;
const PIECE = 32 * 1024;
/** So many characters may wait for a slow reader. */
const MAX_WAITING = 4 * 1024 * 1024;

/**
 * Buffers log lines and writes them in large pieces. The process never waits for the reader. When the reader is too
 * slow, lines are dropped and counted. When the reader is gone or the disk is full, lines are lost.
 *
 * pino's own buffered destination is not used: when its reader is gone, `flushSync` never returns and the process
 * never ends.
 */
export class LogOutput {
  readonly #fd: number;
  readonly #clock: Clock;
  #waiting = '';
  /** Left over by the last write; it comes first. */
  #rest: Buffer = NOTHING;
  #dropped = 0;
  #isWriting = false;
  /** Runs after a write, and as long as something is left. */
  #pause: Timer | null = null;
  #onSettled: (() => void) | null = null;

  constructor(fd: number, clock: Clock) {
    this.#fd = fd;
    this.#clock = clock;
  }

  write(line: string): void {
    if (this.#waiting.length + this.#rest.length > MAX_WAITING) {
      this.#dropped += 1;
      return;
    }
    this.#waiting += line;
    const isEnough = this.#waiting.length >= PIECE && this.#rest.length === 0;
    if (this.#pause === null || isEnough) this.#send();
  }

  /** Resolves when no write is under way, so that `flushSync` keeps the order of the lines. */
  settled(): Promise<void> {
    if (!this.#isWriting) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onSettled = resolve;
    });
  }

  /** For the end of the process. Node itself waits for a write that is under way. */
  flushSync(): void {
    writeAll(this.#fd, this.#take());
  }

  #send(): void {
    this.#pause ??= this.#clock.after(PAUSE_MS, this.#resume);
    if (this.#isWriting) return;
    const piece = this.#take();
    this.#isWriting = true;
    write(this.#fd, piece, (error, bytes) => {
      this.#isWriting = false;
      if (error === null) this.#rest = piece.subarray(bytes);
      else if (isFull(error)) this.#rest = piece;
      if (this.#rest.length > 0) this.#pause ??= this.#clock.after(PAUSE_MS, this.#resume);
      else if (this.#waiting.length >= PIECE && this.#onSettled === null) this.#send();
      this.#onSettled?.();
      this.#onSettled = null;
    });
  }

  readonly #resume = (): void => {
    this.#pause = null;
    if (this.#waiting !== '' || this.#rest.length > 0) this.#send();
  };

  #take(): Buffer {
    const note = this.#dropped === 0 ? '' : this.#noteOfDropped();
    const lines = Buffer.from(this.#waiting + note);
    const piece = this.#rest.length === 0 ? lines : Buffer.concat([this.#rest, lines]);
    this.#waiting = '';
    this.#rest = NOTHING;
    this.#dropped = 0;
    return piece;
  }

  #noteOfDropped(): string {
    const msg = 'lines of the log were dropped: their reader is too slow';
    const time = isoTime(this.#clock.now());
    return `${JSON.stringify({ level: 40, time, dropped: this.#dropped, msg })}\n`;
  }
}

const NOTHING = Buffer.alloc(0);

/** How often and after how long a full pipe is tried again, if it does not make us wait itself. */
const MAX_TRIES = 100;
const NEXT_TRY_MS = 10;
const SLEEPER = new Int32Array(new SharedArrayBuffer(4));

function writeAll(fd: number, bytes: Buffer): void {
  let rest = bytes;
  for (let tries = 0; rest.length > 0 && tries < MAX_TRIES; ) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      if (!isFull(error)) return;
      tries += 1;
      Atomics.wait(SLEEPER, 0, 0, NEXT_TRY_MS);
    }
  }
}

/** A pipe whose reader is slow. */
const isFull = (error: unknown) =>
  error instanceof Error && 'code' in error && error.code === 'EAGAIN';
