import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { ConfigError, readConfig } from '../src/config/config.ts';
import { ListenError } from '../src/http/listen.ts';
import { PROVIDERS, startUnderstudy } from '../src/server.ts';
import { createSystemClock } from '../src/shared/clock.ts';
import { createLogger } from '../src/shared/logger.ts';
import { watchKeys } from './demo-watch.ts';
import { startStandin } from './standin.ts';
import type { AnswerShape, Asked, StandinKey } from './standin-key.ts';

/** The stand-in's minutes pass this many times faster than real ones. */
const SPEED = 4;
const DEFAULT_PORT = 3000;
const ADMIN_TOKEN = 'demo-admin-token';
const CLIENT_TOKEN = 'demo-client-token';

/** One key for each thing that can happen to a key, by the setting that holds it. */
const KEYS: Readonly<Record<string, StandinKey>> = {
  GOOGLE_API_KEY: { key: 'demo-minute', service: 'google', limits: { rpm: 3 } },
  GOOGLE_API_KEY_2: { key: 'demo-day', service: 'google', limits: { rpd: 5 } },
  GOOGLE_API_KEY_3: { key: 'demo-leaked', service: 'google', fault: { kind: 'leaked' } },
  GOOGLE_API_KEY_4: { key: 'demo-steady', service: 'google', limits: { rpm: 12 } },
  ANAM_API_KEY: { key: 'demo-avatar', service: 'anam', account: { slots: 1 } },
  ANAM_API_KEY_2: { key: 'demo-avatar-spare', service: 'anam' },
};

/** What `examples/nextjs` can run. */
const EXAMPLE_TOOLS = fileURLToPath(new URL('../examples/nextjs/tools.json', import.meta.url));
/** An example: the stand-ins cost nothing. */
const EXAMPLE_PRICES = fileURLToPath(new URL('demo-prices.json', import.meta.url));

await runDemo().catch((error: unknown) => {
  if (error instanceof ConfigError) fail(error.message);
  throw error;
});

/** Stand-ins for both providers and the server in front of them, in one process. */
async function runDemo(): Promise<void> {
  const clock = createSystemClock();
  const standin = await startStandin({
    clock,
    keys: Object.values(KEYS),
    speed: SPEED,
    answer: answerTo,
  });
  const config = readConfig(await settingsFor(standin.url), PROVIDERS, 'demo');
  const log = createLogger({ level: config.logLevel, redact: config.redact });
  const minuteMs = 60_000 / SPEED;
  const runtime = { clock, random: Math.random, log, minuteMs, measuresProcess: true };
  const server = await startUnderstudy(config, runtime).catch((error: unknown) => {
    if (error instanceof ListenError) fail(error.message);
    throw error;
  });
  for (const signal of ['SIGTERM', 'SIGINT']) {
    process.on(signal, () => void server.stop(1000).then(() => process.exit(0)));
  }
  log.info({ port: server.port, host: config.host, mode: config.mode }, 'listening');
  const url = `http://127.0.0.1:${server.port}`;
  process.stdout.write(introduction(url));
  const names = new Map(Object.entries(KEYS).map(([variable, { key }]) => [key, nameOf(variable)]));
  watchKeys({ clock, standin, url, output: process.stdout, names });
}

/** A question with the word `slowly` has twelve seconds of an answer, `draw` an image, and one that names a tool calls it. */
function answerTo({ lastUserText, functions }: Asked): AnswerShape {
  return {
    chunks: 8,
    firstChunkMs: 150,
    chunkMs: /slowly/i.test(lastUserText) ? 1500 : 30,
    thoughts: 'The stand-in repeats what was said.',
    // The last content is the result of a tool.
    ...(lastUserText === '' ? { text: 'Thank you, that is what I wanted to know.' } : {}),
    ...(/\bdraw\b/i.test(lastUserText) ? { image: DRAWING } : {}),
    functionCalls: functions
      .filter((name) => lastUserText.includes(name))
      .map((name) => ({ name, args: {} })),
  };
}

const DRAWING = {
  mimeType: 'image/svg+xml',
  data: Buffer.from(
    `<svg xmlns="http://www.w3.org/2000/svg" width="320" height="180" viewBox="0 0 320 180">
      <rect width="320" height="180" fill="#24345f"/><circle cx="250" cy="50" r="26" fill="#f2bd5b"/>
      <path d="M0 180 90 70 160 150 220 95 320 180Z" fill="#57446f"/>
      <text x="16" y="36" fill="#fff" font-family="sans-serif" font-size="18">DEMO: drawn by the stand-in</text>
    </svg>`,
  ).toString('base64'),
};

/** Of the user's own environment it takes five settings, and never reads a real key. */
async function settingsFor(standinUrl: string): Promise<Record<string, string>> {
  const { PORT = String(await freePort(DEFAULT_PORT)), HOST, LOG_LEVEL } = process.env;
  const { CHAT_TOOLS = EXAMPLE_TOOLS, PRICES = EXAMPLE_PRICES } = process.env;
  const keys = Object.entries(KEYS).map(([variable, { key }]) => [variable, key]);
  return {
    ...Object.fromEntries(keys),
    GOOGLE_BASE_URL: standinUrl,
    ANAM_BASE_URL: standinUrl,
    ANAM_PERSONA_ID: 'demo-persona',
    GOOGLE_LIVE_MODEL: 'demo-live',
    CHAT_TOOLS,
    PRICES,
    CHAT_REASONING: 'true',
    CHAT_RESUME: 'true',
    ADMIN_TOKEN,
    CLIENT_TOKENS: CLIENT_TOKEN,
    KEY_COOLDOWN_SECONDS: '60',
    RATE_LIMIT_CHAT: '0',
    RATE_LIMIT_SESSIONS: '0',
    PORT,
    // Its admin token is public: other machines must not reach it by default.
    HOST: HOST ?? '127.0.0.1',
    LOG_LEVEL: LOG_LEVEL ?? 'silent',
  };
}

/** The port itself when it is free, else 0 for any. */
function freePort(port: number): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(0));
    probe.listen(port, () => probe.close(() => resolve(port)));
  });
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

/** The id by which the server knows the key of this setting. */
function nameOf(variable: string): string {
  return variable.toLowerCase().replace('_api_key', '').replace('_', '-');
}

function introduction(url: string): string {
  return `
Understudy, demo: the providers are STAND-INS on this machine.
No key, no network, no cost: the costs that the pages show are examples. A minute
of theirs lasts ${60 / SPEED} seconds here, and a cooldown one minute instead of an hour.

  google     a quota of 3 requests a minute    anam     one conversation at a time
  google-2   a quota of 5 requests a day       anam-2   no limit
  google-3   reported as leaked
  google-4   a quota of 12 requests a minute

Listening on ${url}. In a browser:

  ${url}/playground    chat, many questions at once, an avatar's session
  ${url}/dashboard     the keys as they run out and come back (token: ${ADMIN_TOKEN})
  ${url}/docs          every route, to read and to try

In another terminal: one answer, a streamed answer, an answer in OpenAI's
protocol, an avatar session (the third one in a row starts on another account
than its token was for), more requests at once than the quotas allow, and the
state of the keys after that:

  curl ${url}/api/chat -H 'content-type: application/json' -d '{"message":"Hello!"}'
  curl -N ${url}/api/chat -H 'content-type: application/json' -d '{"message":"Hello!","stream":true}'
  curl ${url}/v1/chat/completions -H 'authorization: Bearer ${CLIENT_TOKEN}' -H 'content-type: application/json' -d '{"model":"gemini-flash-latest","messages":[{"role":"user","content":"Hello!"}]}'
  curl -X POST ${url}/api/anam/v1/engine/session -H "authorization: Bearer $(curl -sX POST ${url}/api/anam/session-token | cut -d'"' -f4)"
  (for i in $(seq 60); do echo "$(curl -s ${url}/api/chat -H 'content-type: application/json' -d '{"message":"Still there?"}')" & done; wait)
  curl ${url}/api/keys/status

The playground and a page with useChat also get the model's thoughts; with useChat a reload goes on with a running answer.
"Count slowly" takes twelve seconds, "Draw a hill" has an image, and a question that names a tool of CHAT_TOOLS (local_time
by default) calls it.

Ctrl+C ends it.

`;
}
