/** What instances share through Redis besides the health of keys. Every call may answer late, or fail. */
export interface SharedStore {
  readonly texts: TextStore;
  readonly answers: AnswerStore;
  readonly questions: InstanceQuestions;
  counter(name: string): Counter;
}

/** State of the connection to Redis. `refusing`: it answers, but is full, a replica, or denies access. */
export const REDIS_STATES = ['connecting', 'connected', 'unreachable', 'refusing'] as const;
export type RedisState = (typeof REDIS_STATES)[number];

/** Short texts by name, each with a time to live. */
export interface TextStore {
  put(name: string, text: string, ms: number): Promise<void>;
  /** @returns null when it was never there or has expired */
  get(name: string): Promise<string | null>;
  /** @returns false when the name was taken already */
  take(name: string, ms: number): Promise<boolean>;
  remove(name: string): Promise<void>;
}

/** The other instances. Nothing is sent until one of them asks, and nothing is stored. */
export interface InstanceQuestions {
  /** The name of this instance, made up at its start. */
  readonly instance: string;
  /** @param answer answers the questions of others, each at once; there is one */
  listen(answer: (question: string) => string): void;
  /** Resolves when all have answered, or after less than half a second; without Redis at once. Only after `listen`. */
  ask(question: string): Promise<Answers>;
}

export interface Answers {
  /** By instance. */
  readonly texts: ReadonlyMap<string, string>;
  /** How many instances did not answer in time. */
  readonly silent: number;
}

/** Counts hits by address, each within a window that begins with its first hit and ends in `leftMs`. */
export interface Counter {
  /** @param address of a client, which the store holds as a keyed hash only */
  hit(
    address: string,
    windowMs: number,
  ): Promise<{ readonly total: number; readonly leftMs: number }>;
}

/** Copies of running answers, by the name of their chat. Through them, an instance reads an answer that another one writes. */
export interface AnswerStore {
  /** @param listener receives the actions of other instances; it replaces the one before */
  listen(listener: AnswerListener): void;
  /** Adds to the copy, and shows that its instance is alive. */
  write(part: WrittenPart): Promise<WriteAnswer>;
  /**
   * @param id of the answer that is being read; null for the latest, unless it was read to its end
   * @param from where to go on, in bytes
   * @returns null where there is none
   */
  read(name: string, id: string | null, from: number): Promise<ReadPart | null>;
  /** @param id null for any answer of this chat */
  end(name: string, id: string | null, how: AnswerEnd): Promise<void>;
}

export interface AnswerListener {
  /** This answer cannot be resumed any more: it was read to its end, or a newer one has taken its place. */
  gone(name: string, id: string): void;
  stopped(name: string, id: string): void;
}

export type AnswerState =
  | { readonly kind: 'running' | 'ended' | 'stopped' }
  | {
      readonly kind: 'failed';
      readonly code: string;
      readonly message: string;
      readonly retryAfterSeconds: number | null;
    };

/** `taken`: a client has the whole answer. `lost`: it was too large to be kept. */
export type AnswerEnd = 'taken' | 'stopped' | 'lost';

export interface WrittenPart {
  readonly name: string;
  readonly id: string;
  /** Whether it may take the place of another answer. */
  readonly isNew: boolean;
  /** How many bytes were written before. */
  readonly from: number;
  readonly text: string;
  readonly state: AnswerState;
  /** Whether a client has received the whole answer. */
  readonly isTaken: boolean;
}

export interface WriteAnswer {
  /** `incomplete`: the store lacks what was written before. `gone`: another answer has taken its place. */
  readonly result: 'written' | 'incomplete' | 'gone' | 'stopped';
  /** How many milliseconds ago another instance last read it; null for never. */
  readonly readMs: number | null;
}

export interface ReadPart {
  readonly id: string;
  readonly text: string;
  readonly state: AnswerState | { readonly kind: 'lost' };
  /** How many milliseconds ago its owner last wrote. */
  readonly ageMs: number;
}
