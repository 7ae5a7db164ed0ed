import { type Run, startBuiltServer } from '../support/built-server.ts';
import { type Child, startChild } from '../support/child.ts';
import { pinned } from '../support/core.ts';
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

/** @returns the server, and where it streams */
export async function startServer(name: ServerName, standin: Child, run: Run = {}) {
  const server = await start(name, standin, run);
  return { ...server, streamUrl: server.url + PATHS[name] };
}

const PATHS: Readonly<Record<ServerName, string>> = {
  bare: '/v1beta/models/gemini-flash-latest:streamGenerateContent?alt=sse',
  understudy: '/api/chat',
};

function start(name: ServerName, standin: Child, run: Run): Promise<Child> {
  const { flags = [], core } = run;
  if (name === 'bare') {
    const args = [...flags, ...script('support/reference-server.ts', name, standin.url)];
    return startChild(...pinned(core, process.execPath, args));
  }
  const settings = {
    GOOGLE_API_KEY: 'bench-key',
    GOOGLE_BASE_URL: standin.url,
    RATE_LIMIT_CHAT: '0',
  };
  return startBuiltServer(settings, run);
}
