import type { Clock } from './clock.ts';

/** What the promise gives, or `otherwise` when it fails or takes longer. */
export function atMost<T>(ms: number, clock: Clock, promise: Promise<T>, otherwise: T): Promise<T> {
  return new Promise((resolve) => {
    const limit = clock.after(ms, () => resolve(otherwise));
    const settle = (value: T) => {
      limit.cancel();
      resolve(value);
    };
    promise.then(settle, () => settle(otherwise));
  });
}
