import { HttpError } from './errors.ts';

/** How many bytes of a request's body are held, in `response.locals`; null when the request has ended. */
export interface BodyHolder {
  bodyBytes?: number | null;
}

/**
 * Bounds all request bodies in flight together. A body counts from its first byte until its request has
 * ended. Only bytes that have arrived count: a client that declares a large body and sends nothing holds nothing.
 */
export class BodyMemory {
  readonly #max: number;
  #held = 0;

  /** @param max in bytes */
  constructor(max: number) {
    this.#max = max;
  }

  /**
   * @param bytes that a request is about to send: nothing is held for them yet
   * @throws HttpError 503
   */
  expect(bytes: number): void {
    if (this.#held + bytes > this.#max) throw bodiesTooLarge();
  }

  /**
   * @param bytes of the holder's body as of now; it may also have become smaller
   * @returns whether there is room; if not, nothing has changed. There is none for what is decoded after the request's end
   */
  hold(holder: BodyHolder, bytes: number): boolean {
    if (holder.bodyBytes === null) return false;
    const held = this.#held - (holder.bodyBytes ?? 0) + bytes;
    if (held > this.#max) return false;
    this.#held = held;
    holder.bodyBytes = bytes;
    return true;
  }

  /** The request has ended. */
  release(holder: BodyHolder): void {
    this.#held -= holder.bodyBytes ?? 0;
    holder.bodyBytes = null;
  }
}

/** Most large requests are over by then. */
const RETRY_SECONDS = 5;

export const bodiesTooLarge = (): HttpError =>
  new HttpError(
    'overloaded',
    `The server is busy with other large requests. Try again in ${RETRY_SECONDS} seconds.`,
    { retryAfterSeconds: RETRY_SECONDS },
  );
