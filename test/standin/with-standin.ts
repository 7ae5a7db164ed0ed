import { afterEach } from 'vitest';
import { type Standin, type StandinOptions, startStandin } from '../../standin/standin.ts';
import { createFakeClock } from '../support/fake-clock.ts';

const running: Standin[] = [];

afterEach(async () => {
  await Promise.all(running.splice(0).map((standin) => standin.close()));
});

/** Starts a stand-in on a free port, with a fake clock, until the end of the test. */
export async function withStandin(options: Omit<StandinOptions, 'clock'>, startMs?: number) {
  const clock = createFakeClock(startMs);
  const standin = await startStandin({ clock, ...options });
  running.push(standin);
  return { clock, standin };
}

export const MODEL = 'gemini-flash-latest';

export interface Ask {
  readonly key?: string;
  readonly model?: string;
  readonly method?: string;
  readonly said?: string;
  /** Fields beside the contents, or other contents. */
  readonly body?: Readonly<Record<string, unknown>>;
  readonly signal?: AbortSignal;
}

/** Asks Gemini one thing, unary unless the method says otherwise. */
export function ask(standin: Standin, asked: Ask = {}): Promise<Response> {
  const { key = 'g1', model = MODEL, method = 'generateContent', signal } = asked;
  const { said = 'hello', body = {} } = asked;
  return fetch(`${standin.url}/v1beta/models/${model}:${method}`, {
    method: 'POST',
    headers: { 'x-goog-api-key': key, 'content-type': 'application/json' },
    body: JSON.stringify({ contents: [{ role: 'user', parts: [{ text: said }] }], ...body }),
    signal: signal ?? null,
  });
}

export const STREAM = 'streamGenerateContent?alt=sse';

/** Posts JSON to Anam's API. */
export function post(standin: Standin, path: string, bearer: string, body: unknown) {
  return fetch(`${standin.url}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
}

/** Whatever a test expects it to be: the test fails where that is wrong. */
export type Json = ReturnType<typeof JSON.parse>;

/** Status, headers and parsed body, for tests that look at more than one. */
export async function read(response: Response | Promise<Response>) {
  const { status, headers, text } = await whole(await response);
  return { status, headers, body: JSON.parse(text) as Json };
}

/** The same for a body that is no JSON. */
export const whole = async (response: Response) => ({
  status: response.status,
  headers: response.headers,
  text: await response.text(),
});

/** The events of an SSE stream. */
export const eventsOf = (text: string): Json[] =>
  text
    .split('\r\n\r\n')
    .slice(0, -1)
    .map((event) => JSON.parse(event.slice('data: '.length)));
