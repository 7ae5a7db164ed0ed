import { type Child, startChild } from '../support/child.ts';
import { script } from '../support/script.ts';

/** What is compared. */
export const SERVERS = {
  bare: '`node:http`, bytes passed through',
  understudy: '**Understudy `/api/chat`**',
} as const;
export type ServerName = keyof typeof SERVERS;

/** Of one answer: so many chunks, the first at once, with pauses between them. */
export interface Pace {
  readonly chunks: number;
  readonly chunkMs: number;
}

export const startStandinProcess = ({ chunks, chunkMs }: Pace): Promise<Child> =>
  startChild(
    process.execPath,
    script('support/standin-process.ts', String(chunks), String(chunkMs)),
  );

export const startServer = (
  name: ServerName,
  standin: Child,
  flags: readonly string[] = [],
): Promise<Child> =>
  startChild(process.execPath, [
    ...flags,
    ...script('support/overhead-server.ts', name, standin.url),
  ]);
