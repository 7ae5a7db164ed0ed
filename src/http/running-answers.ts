import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Response } from 'express';
import type { AnsweredBy, Caller } from '../failover/failover.ts';
import { ServiceError } from '../failover/service-error.ts';
import { type ChatWriter, modelThatAnswered } from '../services/chat.ts';
import type { ChatChunk, ChatFinish } from '../shared/chat.ts';
import { atMost, type Clock, type Timer } from '../shared/clock.ts';
import { digestOf } from '../shared/secret.ts';
import type { AnswerEnd, AnswerState, AnswerStore } from '../shared/shared-store.ts';
import { leave } from './access.ts';
import type { Frames } from './dialects/dialect.ts';
import { toHttpError } from './errors.ts';
import { KeepAlive, PacedWriter, setAnsweredBy } from './reply.ts';
import { SharedCopy } from './shared-copy.ts';

/** How long an answer goes on without a reader, and how long it is kept after its end if no reader has got it all. */
const WITHOUT_READER_MS = 60_000;
/** A client that leaves during the last bytes closes its connection within this time. */
const LAST_BYTES_MS = 1000;
/** How long the shutdown waits for the shared store to respond. */
const STORE_LIMIT_MS = 1000;
/** In characters of one or two bytes each. */
const MAX_ANSWER = 4 * 2 ** 20;
const MAX_ALL_ANSWERS = 32 * 2 ** 20;
const MAX_ANSWERS = 1000;
/** Per answer. One more disconnects the oldest reader, whose connection is most likely dead. */
const MAX_READERS = 8;

/**
 * Anyone who knows a chat's id can read its answer, so no answer is kept under an id that can be guessed. The client's
 * address cannot replace the id: a phone changes its address, and all clients behind one proxy share one.
 *
 * @returns a hash of the id: the chat's name in memory and in the shared store; null for an id that can be guessed
 */
export function chatNameOf(id: unknown): string | null {
  if (typeof id !== 'string' || id.length < MIN_ID || id.length > MAX_ID) return null;
  if (new Set(id).size < MIN_DIFFERENT) return null;
  return digestOf('answer', id).toString('base64url').slice(0, 22);
}

/** The AI SDK generates ids of 16 letters and digits. */
const MIN_ID = 16;
const MAX_ID = 200;
const MIN_DIFFERENT = 6;

export interface RunningAnswersOptions {
  readonly clock: Clock;
  /** Null for a process that is alone; otherwise other instances can read the answers and stop them. */
  readonly store: AnswerStore | null;
}

/** The answers that can be resumed, by the name of their chat: running ones, and ended ones that no reader has in full. */
export class RunningAnswers {
  readonly #options: RunningAnswersOptions;
  readonly #byName = new Map<string, RunningAnswer>();
  #size = 0;

  constructor(options: RunningAnswersOptions) {
    this.#options = options;
    options.store?.listen({
      gone: (name, id) => this.#find(name, id)?.forget(),
      stopped: (name, id) => this.#find(name, id)?.stop(),
    });
  }

  /**
   * Begins the answer of a chat. An older answer of the chat can no longer be resumed, and stops if it has no reader.
   *
   * @param framesWith creates the frames from the message's id
   * @returns null where this answer cannot be resumed: the chat's id can be guessed, or there are too many answers
   */
  begin(
    chatId: unknown,
    caller: Caller,
    framesWith: (messageId: string) => Frames,
  ): RunningAnswer | null {
    const name = chatNameOf(chatId);
    if (name === null) return null;
    this.#byName.get(name)?.forget();
    if (this.#byName.size >= MAX_ANSWERS && !this.#makeRoom()) return null;
    const { clock, store } = this.#options;
    const id = randomUUID();
    const answer = new RunningAnswer(
      { clock, caller, frames: framesWith(id) },
      {
        grew: (by) => this.#grew(by),
        forgotten: (size) => {
          this.#size -= size;
          if (this.#byName.get(name) === answer) this.#byName.delete(name);
        },
      },
    );
    this.#byName.set(name, answer);
    if (store !== null) answer.copy = new SharedCopy(answer, { store, clock, name, id });
    return answer;
  }

  /** @returns null where this instance has no answer to resume */
  find(name: string): RunningAnswer | null {
    const answer = this.#byName.get(name) ?? null;
    return answer?.isDelivered() === true ? null : answer;
  }

  /** Stops the answer on whichever instance it runs. */
  async stop(name: string): Promise<void> {
    this.#byName.get(name)?.stop();
    // While the store fails, no other instance can be asked.
    await this.#options.store?.end(name, null, 'stopped').catch(() => {});
  }

  /**
   * For the shutdown, when no connection is open. Answers that other instances can read go on until the limit, then fail
   * for their readers. All others stop at once.
   *
   * @returns whether all shared answers ended by themselves
   */
  async drain(limitMs: number): Promise<boolean> {
    const running = [...this.#byName.values()];
    for (const answer of running) answer.cutOff();
    const sent = Promise.all(running.map(({ copy }) => copy?.flush()));
    await atMost(STORE_LIMIT_MS, this.#options.clock, sent, []);
    const shared = running.filter(({ copy }) => copy?.isReachable === true);
    for (const answer of running) if (!shared.includes(answer)) answer.stop();
    const over = Promise.all(shared.map(({ over }) => over.catch(() => {})));
    const areOver = await atMost(
      limitMs,
      this.#options.clock,
      over.then(() => true),
      false,
    );
    for (const answer of shared) answer.fail(CUT_OFF);
    await Promise.all(shared.map(({ copy }) => copy?.flush()));
    for (const answer of shared) answer.close();
    return areOver;
  }

  #find(name: string, id: string): RunningAnswer | null {
    const answer = this.#byName.get(name);
    return answer?.copy?.id === id ? answer : null;
  }

  /** @returns whether the total stays within its limit */
  #grew(by: number): boolean {
    this.#size += by;
    while (this.#size > MAX_ALL_ANSWERS) if (!this.#makeRoom()) return false;
    return true;
  }

  /** Forgets the oldest answer that has ended. */
  #makeRoom(): boolean {
    for (const answer of this.#byName.values()) {
      if (!answer.isOver) continue;
      answer.forget();
      return true;
    }
    return false;
  }
}

const CUT_OFF = new ServiceError(
  'upstream_failed',
  'The server is being restarted. Please ask again.',
);

interface AnswerParts {
  readonly clock: Clock;
  readonly caller: Caller;
  readonly frames: Frames;
}

interface Keeper {
  /** @returns whether there is room to keep the whole answer */
  grew(by: number): boolean;
  /** Called when the answer can no longer be resumed. */
  forgotten(size: number): void;
}

const RUNNING: AnswerState = { kind: 'running' };

/**
 * One answer with its whole text, for readers that come and go. While it is kept, the provider is read without waiting
 * for readers. Once it is too large to be kept, its slowest reader sets the pace, and it ends with its last reader.
 */
export class RunningAnswer implements ChatWriter {
  readonly frames: Frames;
  /** Resolves when the answer has ended, rejects when it has failed. */
  readonly over: Promise<void>;
  /** Null without a shared store. */
  copy: SharedCopy | null = null;
  readonly #clock: Clock;
  readonly #caller: Caller;
  readonly #keeper: Keeper;
  readonly #readers = new Set<AnswerReader>();
  readonly #settle: { resolve(): void; reject(error: unknown): void };
  #texts: string[] = [];
  /** How many texts were dropped before the first of `#texts`. */
  #dropped = 0;
  #size = 0;
  #state = RUNNING;
  #error: unknown = null;
  #isKept = true;
  #answeredBy: AnsweredBy | null = null;
  #ahead = '';
  #resume: () => void = () => {};
  #isPaused = false;
  /** Runs while there is no reader. */
  #timer: Timer | null = null;
  /** The connection over which the whole answer was sent. */
  #delivery: Delivery | null = null;

  constructor({ clock, caller, frames }: AnswerParts, keeper: Keeper) {
    this.#clock = clock;
    this.#caller = caller;
    this.frames = frames;
    this.#keeper = keeper;
    const { promise, resolve, reject } = withResolvers();
    this.over = promise;
    this.#settle = { resolve, reject };
  }

  get state(): AnswerState {
    return this.#state;
  }

  get isOver(): boolean {
    return this.#state !== RUNNING;
  }

  /** How many texts have been written. */
  get length(): number {
    return this.#dropped + this.#texts.length;
  }

  /** What a reader still needs that has received this many texts. */
  textFrom(position: number): string {
    return position === this.length - 1
      ? (this.#texts.at(-1) ?? '')
      : this.#texts.slice(position - this.#dropped).join('');
  }

  begin(answeredBy: AnsweredBy, resume: () => void): void {
    this.#answeredBy = answeredBy;
    this.#ahead = this.frames.begin(modelThatAnswered(answeredBy));
    this.#resume = resume;
  }

  write(chunk: ChatChunk): boolean {
    this.#add(this.#ahead + this.frames.piece(chunk));
    this.#ahead = '';
    this.#isPaused = !this.#isKept && !this.#isReadByAll();
    return !this.#isPaused;
  }

  end(finish: ChatFinish): void {
    if (this.isOver) return;
    this.#state = { kind: 'ended' };
    this.#add(this.frames.end(finish));
    this.#settle.resolve();
    this.#waitForReader(WITHOUT_READER_MS);
  }

  /** Ends the answer with this error. Does nothing after its end. */
  fail(error: unknown): void {
    if (this.isOver) return;
    const { code, message, retryAfterSeconds } = toHttpError(error);
    const wasStopped = error instanceof ServiceError && error.code === 'client_gone';
    this.#error = error;
    this.#state = wasStopped
      ? { kind: 'stopped' }
      : { kind: 'failed', code, message, retryAfterSeconds };
    this.#add('');
    this.#settle.reject(error);
    if (wasStopped) this.forget('stopped');
    else this.#waitForReader(WITHOUT_READER_MS);
  }

  /**
   * Sends the answer from its beginning.
   *
   * @returns resolves when the connection has closed or the answer was sent in full; rejects when the answer fails
   */
  read(response: Response): Promise<void> {
    if (this.#readers.size >= MAX_READERS) {
      const [oldest] = this.#readers;
      oldest?.cutOff();
    }
    const reader = new AnswerReader(this, response, this.#clock);
    this.#readers.add(reader);
    this.#timer?.cancel();
    reader.feed(this.#answeredBy);
    return reader.over;
  }

  /** A reader calls it when it has sent all that was written. */
  caughtUp(): void {
    if (this.#isKept || !this.#isReadByAll()) return;
    this.#dropped += this.#texts.length;
    this.#texts = [];
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#resume();
  }

  left(reader: AnswerReader, delivery: Delivery | null): void {
    this.#readers.delete(reader);
    if (delivery !== null) this.#delivered(delivery);
    else if (!this.#isKept) {
      if (this.#readers.size === 0) leave(this.#caller);
      else this.caughtUp();
    } else this.#waitForReader(WITHOUT_READER_MS);
  }

  /**
   * An answer that a client has in full is not resumed again: each later load of the page would add it once more. A client
   * that closes the connection right after the last bytes left before they arrived.
   */
  isDelivered(): boolean {
    return this.#delivery !== null && !isLost(this.#delivery);
  }

  /** From now on it cannot be resumed. It goes on for its current readers on this instance. */
  forget(end: AnswerEnd = this.isOver ? 'taken' : 'lost'): void {
    if (!this.#isKept) return;
    this.#isKept = false;
    this.#timer?.cancel();
    this.#keeper.forgotten(this.#size);
    this.copy?.end(end);
    if (this.#readers.size === 0 && !this.isOver) leave(this.#caller);
  }

  stop(): void {
    this.forget('stopped');
    if (!this.isOver) leave(this.#caller);
  }

  /** For the shutdown: Node reports that a connection has closed only after its server has. */
  cutOff(): void {
    for (const reader of this.#readers) reader.cutOff();
  }

  /** Releases timers and the call to the provider. */
  close(): void {
    this.#timer?.cancel();
    this.copy?.stop();
    leave(this.#caller);
  }

  get error(): unknown {
    return this.#error;
  }

  #add(text: string): void {
    if (text !== '') {
      this.#texts.push(text);
      this.#size += text.length;
      const hasRoom = this.#isKept && this.#keeper.grew(text.length);
      if (this.#isKept && (!hasRoom || this.#size > MAX_ANSWER)) this.forget();
    }
    for (const reader of this.#readers) reader.feed(this.#answeredBy);
    this.copy?.changed();
  }

  #isReadByAll(): boolean {
    for (const reader of this.#readers) if (!reader.hasAll) return false;
    return true;
  }

  #delivered(delivery: Delivery): void {
    if (!this.#isKept || this.isDelivered()) return;
    this.#delivery = delivery;
    this.copy?.setTaken(true);
    this.#timer?.cancel();
    this.#timer = this.#clock.after(LAST_BYTES_MS, () => {
      if (!isLost(delivery)) {
        this.forget();
        return;
      }
      this.copy?.setTaken(false);
      this.#waitForReader(WITHOUT_READER_MS - LAST_BYTES_MS);
    });
  }

  #waitForReader(ms: number): void {
    if (!this.#isKept || this.#readers.size > 0 || this.isDelivered()) return;
    this.#timer?.cancel();
    this.#timer = this.#clock.after(ms, () => {
      const leftMs = (this.copy?.readAt ?? 0) + WITHOUT_READER_MS - this.#clock.now();
      if (leftMs > 0 && !this.isOver) this.#waitForReader(leftMs);
      else this.forget();
    });
  }
}

/** The whole answer was written to a connection that stays open. */
interface Delivery {
  /** Null where the server itself closes the connection after the answer. */
  readonly socket: Socket | null;
}

const isLost = ({ socket }: Delivery): boolean => socket?.destroyed === true;

/** Sends one answer to one connection, as fast as the connection accepts it. */
class AnswerReader {
  readonly over: Promise<void>;
  readonly #answer: RunningAnswer;
  readonly #response: Response;
  readonly #output: PacedWriter;
  readonly #keepAlive: KeepAlive;
  readonly #settle: { resolve(): void; reject(error: unknown): void };
  #position = 0;
  #isFull = false;
  #isDone = false;

  constructor(answer: RunningAnswer, response: Response, clock: Clock) {
    const { promise, resolve, reject } = withResolvers();
    this.over = promise;
    this.#settle = { resolve, reject };
    this.#answer = answer;
    this.#response = response;
    this.#output = new PacedWriter(response, clock);
    this.#keepAlive = new KeepAlive(response, clock, answer.frames);
    response.locals.failInStream = answer.frames.fail;
    const { socket } = response.req;
    const leave = () => {
      response.off('close', leave);
      this.#isDone = true;
      this.#keepAlive.stop();
      this.#settle.resolve();
      const isWhole = response.writableFinished && answer.isOver;
      const staysOpen = response.shouldKeepAlive;
      answer.left(this, isWhole ? { socket: staysOpen ? socket : null } : null);
    };
    response.on('close', leave);
    // No event follows for a connection that closed while the body was read.
    if (response.destroyed) queueMicrotask(leave);
  }

  get hasAll(): boolean {
    return !this.#isFull && this.#position === this.#answer.length;
  }

  feed(answeredBy: AnsweredBy | null): void {
    if (this.#isFull || this.#isDone || this.#response.destroyed) return;
    const text = this.#answer.textFrom(this.#position);
    this.#position = this.#answer.length;
    if (text !== '') {
      this.#begin(answeredBy);
      this.#isFull = !this.#output.write(text);
    }
    if (!this.#isFull) this.#caughtUp();
    else {
      this.#output.onRoom = () => {
        this.#isFull = false;
        this.feed(answeredBy);
      };
    }
  }

  cutOff(): void {
    this.#response.destroy();
  }

  #begin(answeredBy: AnsweredBy | null): void {
    this.#keepAlive.begin();
    if (this.#response.headersSent) return;
    if (answeredBy !== null) setAnsweredBy(this.#response, answeredBy);
    this.#response.writeHead(200, this.#answer.frames.headers);
  }

  #caughtUp(): void {
    const { state, error, frames } = this.#answer;
    if (state.kind === 'running') {
      this.#answer.caughtUp();
      return;
    }
    this.#isDone = true;
    this.#keepAlive.stop();
    const isResumed = this.#response.req.method === 'GET';
    if (isResumed || state.kind !== 'failed') this.#begin(null);
    if (state.kind === 'failed') this.#settle.reject(error);
    else this.#output.end(state.kind === 'stopped' ? frames.stop?.() : '');
  }
}

/** A rejection that nothing awaits does not count as unhandled. */
function withResolvers() {
  let resolve: () => void = () => {};
  let reject: (error: unknown) => void = () => {};
  const promise = new Promise<void>((resolved, rejected) => {
    resolve = resolved;
    reject = rejected;
  });
  promise.catch(() => {});
  return { promise, resolve, reject };
}
