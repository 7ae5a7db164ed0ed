import type { Answer } from './failover-request.ts';

/** For answers that come in one piece. */
export async function onlyPiece<C>({ chunks }: Answer<C>): Promise<C> {
  const pieces: C[] = [];
  for await (const chunk of chunks) pieces.push(chunk);
  const [piece] = pieces;
  if (piece === undefined) throw new Error('an answer without a piece');
  return piece;
}
