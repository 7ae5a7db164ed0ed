/**
 * An answer whose first piece was taken already. No generator: one that was given up before its first
 * step would never close the answer behind it.
 *
 * @param onBreak told what the rest throws; throws what the reader is to see
 */
export function begun<C>(
  first: IteratorResult<C, void>,
  rest: AsyncGenerator<C, void, undefined>,
  onBreak: (error: unknown) => never,
): AsyncIterableIterator<C, void> {
  let next: IteratorResult<C, void> | null = first;
  return {
    async next() {
      const step = next ?? (await rest.next().catch(onBreak));
      next = null;
      return step;
    },
    return: () => rest.return(undefined),
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
