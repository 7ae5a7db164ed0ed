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
/** How soon a client that leaves during the last bytes closes its connection. */
const LAST_BYTES_MS = 1000;
/** How long the end of the process waits for the shared store to show whether it works. */
const STORE_LIMIT_MS = 1000;
/** In characters, which take one or two bytes each. */
const MAX_ANSWER = 4 * 2 ** 20;
const MAX_ALL_ANSWERS = 32 * 2 ** 20;
const MAX_ANSWERS = 1000;
/** Of one answer. Beyond it the oldest is cut off: most likely its connection is dead. */
const MAX_READERS = 8;

/**
 * A chat's id is all that it takes to read its answer, so an answer is not kept under an id that can be guessed. An
 * address cannot take the id's place: a phone changes its address, and all clients behind one proxy have the same.
 *
 * @returns the chat's name in memory and in the shared store, which does not lead back to its id; null for no such id
 */
export function chatNameOf(id: unknown): string | null {
  if (typeof id !== 'string' || id.length < MIN_ID || id.length > MAX_ID) return null;
  if (new Set(id).size < MIN_DIFFERENT) return null;
  return digestOf('answer', id).toString('base64url').slice(0, 22);
}

/** The AI SDK makes ids of 16 letters and digits. */
const MIN_ID = 16;
const MAX_ID = 200;
const MIN_DIFFERENT = 6;

export interface RunningAnswersOptions {
  readonly clock: Clock;
  /** Null for a process that is alone; otherwise other instances can read the answers and stop them. */
  readonly store: AnswerStore | null;
}

/** The answers that can be resumed, by the name of their chat: those that run, and those that ended unread. */
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
   * Begins the answer of a chat. An older one of the same chat can no longer be resumed, and stops if it has no reader.
   *
   * @param framesWith makes its frames with the id of its message
   * @returns null where this answer cannot be resumed: for its chat's id, or because there are too many
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

  /** @returns null where nothing can be resumed here */
  find(name: string): RunningAnswer | null {
    const answer = this.#byName.get(name) ?? null;
    return answer?.isDelivered() === true ? null : answer;
  }

  /** Stops the answer, wherever it runs. */
  async stop(name: string): Promise<void> {
    this.#byName.get(name)?.stop();
    // Without the store there are no others.
    await this.#options.store?.end(name, null, 'stopped').catch(() => {});
  }

  /**
   * At the end of the process, when no connection is open. What other instances can read goes on until the limit, then
   * it fails for their readers; everything else stops.
   *
   * @returns whether all of them ended by themselves
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

  /** @returns whether there is room for it */
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
  /** @returns whether the answer may be kept as a whole */
  grew(by: number): boolean;
  /** It cannot be resumed any more. */
  forgotten(size: number): void;
}

const RUNNING: AnswerState = { kind: 'running' };

/**
 * One answer with all that was written of it, for readers that come and go. While it is kept, the provider is read on
 * without waiting for them; once it is too large to be kept, it goes as fast as its slowest reader, and ends with the last.
 */
export class RunningAnswer implements ChatWriter {
  readonly frames: Frames;
  /** Resolves or fails as the answer does, when nothing more is written. */
  readonly over: Promise<void>;
  /** Null without a shared store. */
  copy: SharedCopy | null = null;
  readonly #clock: Clock;
  readonly #caller: Caller;
  readonly #keeper: Keeper;
  readonly #readers = new Set<AnswerReader>();
  readonly #settle: { resolve(): void; reject(error: unknown): void };
  #texts: string[] = [];
  /** How many texts came before those that are still here. */
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
  /** The connection over which the whole answer has gone. */
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

  /** What a reader has not got yet that has got so many texts. */
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

  /** The answer has ended with this error. After its end nothing happens. */
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
   * @returns resolves when the connection has closed or has got it all, and fails as the answer does
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

  /** All that was written has gone out to this reader. */
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
   * It is not resumed again once a client has it all, or else each later load of the page would add it once more. If the
   * client has closed the connection right after the last bytes, it has left before they arrived.
   */
  isDelivered(): boolean {
    return this.#delivery !== null && !isLost(this.#delivery);
  }

  /** It cannot be resumed from now on. It goes on for the readers that it has here. */
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

  /** For the end of the process: Node reports the end of a connection only after that of its server. */
  cutOff(): void {
    for (const reader of this.#readers) reader.cutOff();
  }

  /** Ends what would outlive the process. */
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

/** Sends one answer to one connection, as fast as it takes it. */
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
    // No event follows if it closed while the body was read.
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

/** A failure that is not awaited is no unhandled rejection. */
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
