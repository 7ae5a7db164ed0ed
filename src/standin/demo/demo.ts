import { createServer } from 'node:net';
import type { Clock } from '../../shared/clock.ts';
import { startStandin } from '../standin.ts';
import {
  DEMO_ADMIN_TOKEN,
  DEMO_CLIENT_TOKEN,
  DEMO_ENVIRONMENT,
  DEMO_KEYS,
  MINUTE_SECONDS,
  SPEED,
} from './keys.ts';
import { watchKeys } from './watch.ts';

export interface DemoOptions {
  readonly clock: Clock;
  /** What the user's own environment says; only `PORT`, `HOST` and `LOG_LEVEL` are taken from it. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly output: NodeJS.WriteStream;
}

export interface DemoProviders {
  /** The settings that point the server at the stand-ins. No real key is ever read. */
  readonly environment: Record<string, string>;
  /** Says what to try, then keeps a line with the state of the keys until the process ends. */
  show(url: string): void;
}

const DEFAULT_PORT = 3000;

/** Stand-ins for both providers, with six keys of different fortunes. */
export async function startDemoProviders(options: DemoOptions): Promise<DemoProviders> {
  const { clock, environment, output } = options;
  const standin = await startStandin({
    clock,
    keys: DEMO_KEYS,
    speed: SPEED,
    answer: { chunks: 8, firstChunkMs: 150, chunkMs: 30 },
  });
  const { PORT = String(await freePort(DEFAULT_PORT)), HOST, LOG_LEVEL } = environment;
  return {
    environment: {
      ...DEMO_ENVIRONMENT,
      GOOGLE_BASE_URL: standin.url,
      ANAM_BASE_URL: standin.url,
      PORT,
      // Its token stands in this file: nobody else's machine should reach it unasked.
      HOST: HOST ?? '127.0.0.1',
      ...(LOG_LEVEL === undefined ? {} : { LOG_LEVEL }),
    },
    show(url) {
      output.write(introduction(url));
      watchKeys({ clock, standin, url, output });
    },
  };
}

/** The port itself when nobody has it, else 0 for any. */
function freePort(port: number): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(0));
    probe.listen(port, () => probe.close(() => resolve(port)));
  });
}

const introduction = (url: string) => `
Understudy, demo: the providers are STAND-INS on this machine.
No key, no network, no cost. A minute of theirs lasts ${MINUTE_SECONDS} seconds here, and a
cooldown one minute instead of an hour.

  google     a quota of 3 requests a minute    anam     one conversation at a time
  google-2   a quota of 5 requests a day       anam-2   no limit
  google-3   reported as leaked
  google-4   a quota of 12 requests a minute

Listening on ${url}. In a browser:

  ${url}/playground    chat, many questions at once, an avatar's session
  ${url}/dashboard     the keys as they run out and come back (token: ${DEMO_ADMIN_TOKEN})
  ${url}/docs          every route, to read and to try

In another terminal, try one answer,
an answer as it is being written, one for a program that speaks OpenAI's
protocol, three times in a row an avatar session, of which the last starts on
another account than its token was for, and at last more at once than the quotas
allow, and the state of the keys after that:

  curl ${url}/api/chat -H 'content-type: application/json' -d '{"message":"Hello!"}'
  curl -N ${url}/api/chat -H 'content-type: application/json' -d '{"message":"Hello!","stream":true}'
  curl ${url}/v1/chat/completions -H 'authorization: Bearer ${DEMO_CLIENT_TOKEN}' -H 'content-type: application/json' -d '{"model":"gemini-flash-latest","messages":[{"role":"user","content":"Hello!"}]}'
  curl -X POST ${url}/api/anam/v1/engine/session -H "authorization: Bearer $(curl -sX POST ${url}/api/anam/session-token | cut -d'"' -f4)"
  (for i in $(seq 60); do echo "$(curl -s ${url}/api/chat -H 'content-type: application/json' -d '{"message":"Still there?"}')" & done; wait)
  curl ${url}/api/keys/status

Ctrl+C ends it.

`;
