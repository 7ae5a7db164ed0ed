import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { afterEach, expect, it, vi } from 'vitest';
import { createAnam } from '../../src/providers/anam/anam-api.ts';
import { UpstreamError } from '../../src/shared/failure.ts';
import { createRedact } from '../../src/shared/redact.ts';
import { Secret } from '../../src/shared/secret.ts';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const close of closing.splice(0)) await close();
});

/** Answers every call with exactly these bytes, then ends the connection. */
async function serve(answer: string) {
  let calls = 0;
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => {
      calls += 1;
      socket.end(answer);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(() => server.close());
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, calls: () => calls };
}

async function mint(baseUrl: string) {
  const anam = createAnam({ baseUrl, redact: createRedact([]).redact, now: () => 0 });
  const secret = new Secret('anam', 'a-one');
  const key = { id: 'anam', provider: 'anam', project: 'anam', secret } as const;
  const request = { body: { personaConfig: { personaId: 'p' } }, personaOf: 'ours' } as const;
  try {
    return await anam.mintToken(key, request, new AbortController().signal);
  } catch (error) {
    if (error instanceof UpstreamError) return error.failure;
    throw error;
  }
}

const head = (status: string, length: number, more = '') =>
  `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n${more}\r\n`;

it.each([
  ['401 Unauthorized', '', { kind: 'key_rejected' }],
  ['429 Too Many Requests', 'retry-after: 30\r\n', { kind: 'rate_limited', retryAfterMs: 30_000 }],
  ['402 Payment Required', 'content-encoding: gzip\r\n', { kind: 'out_of_credit' }],
])('understands a %s whose body breaks off: its status says enough', async (status, more, kind) => {
  const { url } = await serve(`${head(status, 500, more)}{"error":"Inva`);
  expect(await mint(url)).toMatchObject(kind);
});

it.each(['403 Forbidden', '404 Not Found'])(
  'takes a %s whose JSON breaks off for Anam’s own all the same',
  async (status) => {
    const { url } = await serve(`${head(status, 500)}{"error":"Persona not fou`);
    expect(await mint(url)).toMatchObject({ kind: 'model_unavailable', whose: 'key' });
  },
);

it('knows a page that breaks off for a page: our address is wrong', async () => {
  const { url } = await serve(`${head('404 Not Found', 500)}<!DOCTYPE html><title>Err`);
  expect(await mint(url)).toMatchObject({ kind: 'misconfigured' });
});

it('understands a refusal with an endless body', async () => {
  const { url } = await serve(`${head('401 Unauthorized', 2 ** 22)}${'x'.repeat(2 ** 20)}`);
  expect(await mint(url)).toMatchObject({ kind: 'key_rejected' });
});

it('takes a good answer that breaks off for upstream trouble, and says nothing of the token', async () => {
  const { url } = await serve(`${head('200 OK', 500)}{"sessionToken":"half-of-a-to`);
  const failure = await mint(url);
  expect(failure).toMatchObject({ kind: 'upstream_down', timedOut: false });
  expect(JSON.stringify(failure)).not.toContain('half');
});

it.each([
  ['no token', '{"token":"half-of-a-token"}'],
  ['an empty token', '{"sessionToken":""}'],
  ['no JSON', '{"sessionToken":"half-of-a-token'],
])('says of a good answer with %s only that there is none', async (_, body) => {
  const { url } = await serve(`${head('200 OK', body.length)}${body}`);
  expect(await mint(url)).toEqual({
    kind: 'upstream_down',
    timedOut: false,
    status: 200,
    message: 'an answer without a sessionToken',
  });
});

it('calls the address of the settings, whatever proxy the environment names', async () => {
  const body = '{"sessionToken":"a-token"}';
  const anam = await serve(`${head('200 OK', body.length)}${body}`);
  const proxy = await serve(head('502 Bad Gateway', 0));
  for (const name of ['HTTP_PROXY', 'http_proxy', 'ALL_PROXY']) vi.stubEnv(name, proxy.url);
  expect(await mint(anam.url)).toBe('a-token');
  expect([anam.calls(), proxy.calls()]).toEqual([1, 0]);
});
