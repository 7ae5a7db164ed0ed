import { once } from 'node:events';
import { type Agent, type IncomingMessage, request } from 'node:http';
import { afterEach, expect, vi } from 'vitest';
import type { Standin } from '../../standin/standin.ts';
import { AS_ADMIN } from './admin.ts';
import { PATIENCE, type ServerGroup, startGroup } from './server-group.ts';

/** `main.ts` as a process of its own, in a process group of its own. */
export interface Server {
  readonly url: string;
  readonly group: ServerGroup;
}

const running: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  await Promise.all(running.splice(0).map((stop) => stop()));
});

/** Until the end of the test. */
export async function startServer(environment: Readonly<Record<string, string>>): Promise<Server> {
  const unlimited = { RATE_LIMIT_CHAT: '0', RATE_LIMIT_SESSIONS: '0', LOG_LEVEL: 'debug' };
  const group = await startGroup({ environment: { ...unlimited, ...environment } });
  running.push(() => group.remove());
  return { url: group.at, group };
}

export interface Asked {
  readonly method?: 'GET' | 'POST';
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Default: a new connection. */
  readonly agent?: Agent;
}

export interface Told {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: a test looks for what it expects and fails where it is not
  readonly body: any;
}

export async function ask({ url }: Pick<Server, 'url'>, path: string, asked: Asked = {}) {
  const { method = 'GET', body, headers = {}, agent } = asked;
  const sent = request(`${url}${path}`, {
    method,
    headers: { 'content-type': 'application/json', ...headers },
    agent: agent ?? false,
  });
  sent.end(body === undefined ? undefined : JSON.stringify(body));
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of response) text += chunk;
  return { status: response.statusCode ?? 0, body: text === '' ? null : JSON.parse(text) } as Told;
}

export const chatWith = (server: Pick<Server, 'url'>, agent?: Agent) =>
  ask(server, '/api/chat', {
    method: 'POST',
    body: { message: 'hello' },
    ...(agent === undefined ? {} : { agent }),
  });

/** As the operator does, for longer than any test lasts. */
export const park = (server: Server, id: string) =>
  ask(server, `/api/keys/${id}/park`, {
    method: 'POST',
    body: { seconds: 600, reason: 'leaked' },
    headers: AS_ADMIN,
  });

/** When the stand-in was called with this key. */
export const timesOf = (standin: Standin, wanted: string): readonly number[] =>
  standin.calls.filter(({ key }) => key === wanted).map(({ at }) => at);

const coolingAt = async (server: Server): Promise<number> =>
  (await ask(server, '/api/keys/status')).body.api_keys.google.cooling_down;

export const eachKnowsOf = (count: number, servers: readonly Server[]) =>
  vi.waitFor(async () => {
    for (const server of servers) expect(await coolingAt(server)).toBe(count);
  }, PATIENCE);
