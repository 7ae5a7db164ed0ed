import type { IncomingMessage } from 'node:http';

/** Gathers a request's body and hands it on once it is whole; of a client that leaves, never. */
export function readBody(request: IncomingMessage, then: (text: string) => void): void {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.once('end', () => then(textOf(chunks)));
}

/** Most bodies come in one chunk. */
const textOf = (chunks: readonly Buffer[]) =>
  (chunks.length === 1 ? chunks[0] : Buffer.concat(chunks))?.toString() ?? '';
