import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { post } from '../support/load.ts';
import { type Command, reference, understudy } from '../support/server.ts';

/** How the answer travels. */
export type Kind = 'unary' | 'stream';

/** A server, and how it is asked. */
export interface Row {
  readonly title: string;
  commandFor(upstreamUrl: string): Command;
  /** As the callers send it. */
  requestFor(kind: Kind, upstreamUrl: string): string;
}

const CLIENT_TOKEN = 'bench-client-token';
const MODEL = 'gemini-flash-latest';
const MESSAGE = 'Hello there';

/** Everything on; the calls of one address are not limited, as one address sends all. */
const everythingOn = (upstreamUrl: string) =>
  understudy({
    GOOGLE_API_KEY: `AIza${'bench'.repeat(7)}`,
    GOOGLE_BASE_URL: upstreamUrl,
    CLIENT_TOKENS: CLIENT_TOKEN,
    ADMIN_TOKEN: 'bench-admin-token',
    RATE_LIMIT_CHAT: '0',
    LOG_LEVEL: 'info',
  });

const inChat = (kind: Kind) =>
  post('/api/chat', { message: MESSAGE }, kind === 'stream' ? { accept: 'text/event-stream' } : {});

const GEMINI_METHODS = { unary: 'generateContent', stream: 'streamGenerateContent?alt=sse' };

const inGemini = (kind: Kind) =>
  post(
    `/v1beta/models/${MODEL}:${GEMINI_METHODS[kind]}`,
    { contents: [{ role: 'user', parts: [{ text: MESSAGE }] }] },
    { 'x-goog-api-key': CLIENT_TOKEN },
  );

const inOpenAi = (kind: Kind, headers: Readonly<Record<string, string>> = {}) =>
  post(
    '/v1/chat/completions',
    {
      model: MODEL,
      messages: [{ role: 'user', content: MESSAGE }],
      ...(kind === 'stream' ? { stream: true } : {}),
    },
    { authorization: `Bearer ${CLIENT_TOKEN}`, ...headers },
  );

/** The first is what the others are compared with. */
export const ROWS = {
  bare: {
    title: '`node:http` and undici, bytes passed through',
    commandFor: (upstreamUrl) => reference('bare', upstreamUrl),
    requestFor: inGemini,
  },
  express: {
    title: 'Express 5, prototypes fixed, bytes passed through',
    commandFor: (upstreamUrl) => reference('express', upstreamUrl),
    requestFor: inGemini,
  },
  chat: {
    title: '**Understudy, `/api/chat`**',
    commandFor: everythingOn,
    requestFor: inChat,
  },
  gemini: {
    title: "**Understudy, Gemini's protocol**",
    commandFor: everythingOn,
    requestFor: inGemini,
  },
  openai: {
    title: "**Understudy, OpenAI's protocol**",
    commandFor: everythingOn,
    requestFor: (kind) => inOpenAi(kind),
  },
} as const satisfies Readonly<Record<string, Row>>;

const PORTKEY = '@portkey-ai/gateway';

/**
 * Portkey's gateway, OpenAI's protocol in front of Gemini, from npm.
 *
 * @returns null when it cannot be installed
 */
export function installPortkey(): Row | null {
  const folder = mkdtempSync(join(tmpdir(), 'bench-portkey-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const options = ['--prefix', folder, '--ignore-scripts', '--no-audit', '--no-fund'];
  try {
    execFileSync('npm', ['install', ...options, PORTKEY], { stdio: ['ignore', 'ignore', 'pipe'] });
  } catch (error) {
    console.log(`Without Portkey: npm does not install it: ${String(error)}\n`);
    return null;
  }
  const program = join(folder, 'node_modules', PORTKEY, 'build/start-server.js');
  return {
    title: "Portkey, OpenAI's protocol",
    commandFor: () => ({
      args: ['--import', ON_LOOPBACK, program, '--headless'],
      environment: { NODE_ENV: 'production' },
      readyPath: '/',
    }),
    requestFor: (kind, upstreamUrl) =>
      inOpenAi(kind, {
        'x-portkey-provider': 'google',
        'x-portkey-custom-host': `${upstreamUrl}/v1beta`,
      }),
  };
}

/** Loaded into Portkey, which else listens on every address. */
const ON_LOOPBACK = `data:text/javascript,${encodeURIComponent(`
  import { Server } from 'node:net';
  const { listen } = Server.prototype;
  Server.prototype.listen = function (_port, _host, ...rest) {
    return listen.call(this, Number(process.env.PORT), '127.0.0.1', ...rest);
  };
`)}`;
