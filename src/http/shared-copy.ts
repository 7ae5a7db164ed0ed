import type { Clock, Timer } from '../shared/clock.ts';
import type { AnswerEnd, AnswerState, AnswerStore } from '../shared/shared-store.ts';

/** How often the owner writes while the answer has no new text. */
const ALIVE_MS = 3000;

/** The part of an answer that its copy uses. */
interface CopiedAnswer {
  readonly state: AnswerState;
  readonly isOver: boolean;
  /** How many texts have been written. */
  readonly length: number;
  textFrom(position: number): string;
  forget(): void;
  stop(): void;
}

interface CopyOptions {
  readonly store: AnswerStore;
  readonly clock: Clock;
  readonly name: string;
  readonly id: string;
}

/** Keeps the copy of an answer in the shared store up to date. The answer never waits for it. */
export class SharedCopy {
  readonly id: string;
  /** When another instance last read the copy, in milliseconds since the epoch; 0 for never. */
  readAt = 0;
  readonly #answer: CopiedAnswer;
  readonly #options: CopyOptions;
  /** How many texts the store has, and how many bytes. */
  #position = 0;
  #bytes = 0;
  #isNew = true;
  #isTaken = false;
  /** Whether the last write succeeded. */
  #isReachable = false;
  /** After a failure everything is sent again, at the next timer and not with each text. */
  #hasFailed = false;
  #sent: { readonly state: AnswerState; readonly isTaken: boolean } | null = null;
  #sending: Promise<void> | null = null;
  #isClosed = false;
  #timer: Timer | null = null;

  constructor(answer: CopiedAnswer, options: CopyOptions) {
    this.#answer = answer;
    this.#options = options;
    this.id = options.id;
    this.changed();
  }

  get isReachable(): boolean {
    return this.#isReachable && !this.#isClosed;
  }

  changed(): void {
    if (!this.#isClosed && !this.#hasFailed) void this.flush();
  }

  flush(): Promise<void> {
    this.#sending ??= this.#send();
    return this.#sending;
  }

  /** A client has the whole answer, so no other client may resume it. */
  setTaken(isTaken: boolean): void {
    this.#isTaken = isTaken;
    this.changed();
  }

  /** The answer can no longer be resumed. */
  end(how: AnswerEnd): void {
    if (this.#isClosed) return;
    this.stop();
    const { store, name, id } = this.#options;
    store.end(name, id, how).catch(() => {});
  }

  stop(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
  }

  async #send(): Promise<void> {
    this.#timer?.cancel();
    try {
      do await this.#sendOnce();
      while (!this.#isClosed && !this.#isUpToDate());
    } catch {
      // The store logs its failures itself. When it is back, it may be another one, without this copy.
      this.#isReachable = false;
      this.#hasFailed = true;
      this.#startAgain();
    }
    // In the same turn as the last look at what there is to send: a later change must begin anew.
    this.#sending = null;
    if (this.#isClosed || (this.#answer.isOver && this.#isReachable)) return;
    this.#timer = this.#options.clock.after(ALIVE_MS, () => {
      this.#hasFailed = false;
      this.changed();
    });
  }

  async #sendOnce(): Promise<void> {
    const { store, clock, name, id } = this.#options;
    const { length, state } = this.#answer;
    const text = this.#answer.textFrom(this.#position);
    const sent = { state, isTaken: this.#isTaken };
    const part = { ...sent, name, id, isNew: this.#isNew, from: this.#bytes, text };
    const { result, readMs } = await store.write(part);
    if (result === 'stopped') this.#answer.stop();
    else if (result === 'gone') this.#answer.forget();
    else if (result === 'incomplete') this.#startAgain();
    else {
      this.#position = length;
      this.#bytes += Buffer.byteLength(text);
      this.#sent = sent;
      this.#isNew = false;
      this.#isReachable = true;
      if (readMs !== null) this.readAt = clock.now() - readMs;
    }
  }

  #isUpToDate(): boolean {
    const { length, state } = this.#answer;
    const { state: sentState, isTaken } = this.#sent ?? {};
    return this.#position === length && sentState === state && isTaken === this.#isTaken;
  }

  #startAgain(): void {
    this.#position = 0;
    this.#bytes = 0;
    this.#sent = null;
  }
}
