import type { Answer } from '../failover/failover.ts';
import { breakOff } from '../failover/service-error.ts';

/** For `commit`: the answer that comes in one chunk. */
export async function onlyChunk<C>({ chunks }: Answer<C>): Promise<C> {
  const all: C[] = [];
  for await (const chunk of chunks) all.push(chunk);
  const [chunk] = all;
  if (chunk === undefined) throw new Error('an answer without a chunk');
  return chunk;
}

/**
 * An answer whose first chunk is known already. It is no generator: one that is ended before its first step
 * would never close the answer behind it.
 *
 * @returns throws a ServiceError where the rest breaks off
 */
export function resumed<C>(
  first: IteratorResult<C, void>,
  rest: AsyncGenerator<C, void, undefined>,
): AsyncIterableIterator<C, void> {
  let next: IteratorResult<C, void> | null = first;
  return {
    async next() {
      const step = next ?? (await rest.next().catch(breakOff));
      next = null;
      return step;
    },
    return: () => rest.return(undefined),
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
