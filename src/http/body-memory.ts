import { HttpError } from './errors.ts';

/** `response.locals`, as far as this file uses it: how many bytes of the body are held. */
export interface BodyHolder {
  bodyBytes?: number;
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
   * Holds nothing yet.
   *
   * @param bytes that a request has declared
   * @throws HttpError 503
   */
  expect(bytes: number): void {
    if (this.#held + bytes > this.#max) throw bodiesTooLarge();
  }

  /**
   * @param bytes the current size of the holder's body, which may have shrunk
   * @returns whether there is room; without room nothing changes
   */
  hold(holder: BodyHolder, bytes: number): boolean {
    const held = this.#held - (holder.bodyBytes ?? 0) + bytes;
    if (held > this.#max) return false;
    this.#held = held;
    holder.bodyBytes = bytes;
    return true;
  }

  /** Call it when the request has ended. */
  release(holder: BodyHolder): void {
    this.#held -= holder.bodyBytes ?? 0;
    holder.bodyBytes = 0;
  }
}

/** Most large requests end within this time. */
const RETRY_SECONDS = 5;

export const bodiesTooLarge = (): HttpError =>
  new HttpError(
    'overloaded',
    `The server is busy with other large requests. Try again in ${RETRY_SECONDS} seconds.`,
    { retryAfterSeconds: RETRY_SECONDS },
  );
