import { type Child, startChild } from '../support/child.ts';
import { script } from '../support/script.ts';
import {
  type Command,
  reference,
  type Server,
  startServer,
  understudy,
} from '../support/server.ts';

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

export interface StreamingServer extends Server {
  /** Where it streams. */
  readonly streamUrl: string;
}

export async function startStreamingServer(
  name: ServerName,
  { url }: Child,
  flags: readonly string[] = [],
): Promise<StreamingServer> {
  const server = await startServer(COMMANDS[name](url), { flags, isPinned: true });
  return { ...server, streamUrl: server.url + PATHS[name] };
}

const COMMANDS: Readonly<Record<ServerName, (upstreamUrl: string) => Command>> = {
  bare: (upstreamUrl) => reference('bare', upstreamUrl),
  understudy: (upstreamUrl) =>
    understudy({
      GOOGLE_API_KEY: 'bench-key',
      GOOGLE_BASE_URL: upstreamUrl,
      RATE_LIMIT_CHAT: '0',
    }),
};
const PATHS: Readonly<Record<ServerName, string>> = {
  bare: '/v1beta/models/gemini-flash-latest:streamGenerateContent?alt=sse',
  understudy: '/api/chat',
};
