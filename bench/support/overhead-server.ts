/**
 * The servers that `/api/chat` is compared with, one a process: `overhead-server.ts VARIANT UPSTREAM`.
 * Each asks the stand-in the same thing; they differ in what stands between. On SIGUSR2 each prints
 * what it holds.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { GoogleGenerativeAI } from '@google/generative-ai';
import express from 'express';
import { Agent } from 'undici';
import { readConfig, redactSecretsOf } from '../../src/config/config.ts';
import { createHttpServer, listen } from '../../src/http/listen.ts';
import { createGemini } from '../../src/providers/gemini/gemini.ts';
import { PROVIDERS, startUnderstudy } from '../../src/server.ts';
import { createSystemClock } from '../../src/shared/clock.ts';
import { createLogger } from '../../src/shared/logger.ts';
import { Secret } from '../../src/shared/secret.ts';
import { countHeld } from './held.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

const [, , variant = '', upstream = ''] = process.argv;
const MODEL = 'gemini-flash-latest';
const KEY = 'bench-key';
const dispatcher = new Agent();
const CALLER_GONE = new Error('the caller has gone');

const SILENT = createLogger({ level: 'silent', redact: (text) => text });

const lean = (handler: Handler) =>
  listen(createHttpServer(expressApp(handler), SILENT), 0, '127.0.0.1');

const variants: Record<string, () => Promise<number>> = {
  bare: () => listen(createServer(passThrough), 0, '127.0.0.1'),
  express: () => listen(createServer(expressApp(passThrough)), 0, '127.0.0.1'),
  'express-lean': () => lean(passThrough),
  'sdk-as-it-comes': () => lean(viaSdk),
  'sdk-over-lean-fetch': () => lean(viaAdapter),
  understudy,
};

const start = variants[variant];
if (start === undefined) throw new Error(`one of: ${Object.keys(variants).join(', ')}`);
// So that --cpu-prof has its say.
process.once('SIGINT', () => process.exit());
process.on('SIGUSR2', async () => console.log(JSON.stringify(await countHeld())));
console.log(`http://127.0.0.1:${await start()}`);

function expressApp(handler: Handler) {
  const app = express();
  app.disable('x-powered-by');
  app.post('/api/chat', handler);
  return app;
}

/** Reads the body, sends Google's request, hands Google's bytes back; hangs up when the caller does. */
function passThrough(request: IncomingMessage, response: ServerResponse): void {
  readBody(request, (body) => {
    const { message } = JSON.parse(body) as { message: string };
    const path = `/v1beta/models/${MODEL}:streamGenerateContent?alt=sse`;
    const headers = { 'content-type': 'application/json', 'x-goog-api-key': KEY };
    const json = JSON.stringify({ contents: [{ role: 'user', parts: [{ text: message }] }] });
    dispatcher.dispatch(
      { origin: upstream, path, method: 'POST', headers, body: json },
      {
        onRequestStart: (controller) =>
          void response.once('close', () => {
            if (!response.writableFinished) controller.abort(CALLER_GONE);
          }),
        onResponseStart: (_, status) => void response.writeHead(status),
        onResponseData: (_, chunk) => void response.write(chunk),
        onResponseEnd: () => void response.end(),
        onResponseError: () => void response.destroy(),
      },
    );
  });
}

function viaSdk(request: IncomingMessage, response: ServerResponse): void {
  readBody(request, async (body) => {
    const { message } = JSON.parse(body) as { message: string };
    const model = new GoogleGenerativeAI(KEY).getGenerativeModel(
      { model: MODEL },
      { baseUrl: upstream },
    );
    const { stream } = await model.generateContentStream(message);
    let reply = '';
    for await (const chunk of stream) reply += chunk.text();
    response.end(JSON.stringify({ reply }));
  });
}

const streamGemini = createGemini({
  baseUrl: upstream,
  dispatcher,
  redact: (text) => text,
  now: Date.now,
});
const key = {
  id: 'google',
  provider: 'google',
  project: 'google',
  secret: new Secret('google', KEY),
} as const;

const userSays = (text: string) => ({ role: 'user', parts: [{ kind: 'text', text }] }) as const;

function viaAdapter(request: IncomingMessage, response: ServerResponse): void {
  readBody(request, async (body) => {
    const { message } = JSON.parse(body) as { message: string };
    const turn = { system: null, messages: [userSays(message)] };
    const { signal } = new AbortController();
    let reply = '';
    for await (const chunk of streamGemini(key, MODEL, turn, signal)) reply += chunk.text;
    response.end(JSON.stringify({ reply }));
  });
}

/** The real thing, its logs written to nowhere but written all the same. */
async function understudy(): Promise<number> {
  const config = readConfig(
    {
      GOOGLE_API_KEY: KEY,
      GOOGLE_BASE_URL: upstream,
      HOST: '127.0.0.1',
      PORT: '0',
      RATE_LIMIT_CHAT: '0',
    },
    PROVIDERS,
  );
  const destination = { write() {} };
  const log = createLogger({ level: 'info', redact: redactSecretsOf(config), destination });
  const runtime = { clock: createSystemClock(), random: Math.random, log };
  return (await startUnderstudy(config, runtime)).port;
}

function readBody(request: IncomingMessage, then: (body: string) => void): void {
  const parts: Buffer[] = [];
  request.on('data', (part: Buffer) => parts.push(part));
  request.on('end', () => then(Buffer.concat(parts).toString()));
}
