import { describe, expect, it, vi } from 'vitest';
import {
  CHAT,
  google,
  MODEL,
  OF_GOOGLE,
  startMetered,
  startWithFault,
  TWO_KEYS,
} from '../support/metered.ts';
import { CLIENT_TOKEN } from '../support/programs.ts';
import { ADMIN_TOKEN, AS_ADMIN, scrape } from '../support/scrape.ts';
import { type App, startApp } from '../support/start-app.ts';

const namesAndLabels = async (app: App) => [...(await scrape(app)).samples.keys()];

describe('/metrics', () => {
  it('does not exist without an admin token', async () => {
    const app = await startApp({ environment: TWO_KEYS });
    expect((await app.get('/metrics', AS_ADMIN)).status).toBe(404);
  });

  it.each([
    ['no token', {}],
    ['a wrong one', { authorization: `Bearer ${ADMIN_TOKEN}x` }],
    ["a program's", { authorization: `Bearer ${CLIENT_TOKEN}` }],
  ])('is refused with %s', async (_, headers: Record<string, string>) => {
    const app = await startMetered({ ...TWO_KEYS, CLIENT_TOKENS: CLIENT_TOKEN });
    const { status, text } = await app.get('/metrics', headers);
    expect(status).toBe(401);
    expect(text).not.toContain('understudy_');
  });

  it('is served with the token, in the text format of Prometheus, uncached', async () => {
    const app = await startMetered(TWO_KEYS);
    const { status, headers, text } = await app.get('/metrics', AS_ADMIN);
    expect(status).toBe(200);
    expect(headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(headers.get('cache-control')).toBe('no-store');
    expect(text).toContain('# TYPE understudy_keys gauge');
  });

  it('allows GET only', async () => {
    const app = await startMetered(TWO_KEYS);
    expect((await app.post('/metrics', {}, AS_ADMIN)).status).toBe(405);
  });

  it('has no process metrics by default', async () => {
    const app = await startMetered(TWO_KEYS);
    expect((await namesAndLabels(app)).filter((name) => /^(process|nodejs)_/.test(name))).toEqual(
      [],
    );
  });
});

describe('after the start', () => {
  it('every counter is 0, so that Prometheus sees its first increase', async () => {
    const app = await startMetered(TWO_KEYS);
    const { value } = await scrape(app);
    const refused = ['operation="chat"', 'end="refused"'];
    expect(value('understudy_requests_total', OF_GOOGLE, ...refused)).toBe(0);
    expect(value('understudy_refusals_total', 'service="anam"', 'code="upstream_failed"')).toBe(0);
    const down = [`model="${MODEL}"`, 'outcome="upstream_down"'];
    expect(value('understudy_attempts_total', OF_GOOGLE, ...down)).toBe(0);
    expect(value('understudy_probes_total', OF_GOOGLE, ...down)).toBe(0);
    expect(value('gen_ai_client_operation_duration_seconds_count', ...CHAT)).toBe(0);
    expect(value('understudy_wait_seconds_count', OF_GOOGLE)).toBe(0);
  });

  it('a service without keys has 0 in every state', async () => {
    const app = await startMetered(TWO_KEYS);
    const { value } = await scrape(app);
    expect(value('understudy_keys', 'service="anam"')).toBe(0);
    expect(value('understudy_key_return_timestamp_seconds')).toBeUndefined();
  });
});

describe('HTTP requests', () => {
  it.each([
    ['the path of their route', '/v1/models/gemini-flash-latest', 200, '/v1/models/{model}'],
    ['nothing of an unknown path', '/wp-login.php', 404, 'other'],
  ])('are counted by %s', async (_, path, status, route) => {
    const app = await startMetered({ ...TWO_KEYS, CLIENT_TOKENS: CLIENT_TOKEN });
    await app.get(path, { authorization: `Bearer ${CLIENT_TOKEN}` });
    await expectAnswered(app, 'GET', route, status);
  });

  it('of unusual methods are counted together', async () => {
    const app = await startMetered(TWO_KEYS);
    await fetch(`${app.url}/health`, { method: 'PROPFIND' });
    await expectAnswered(app, '_OTHER', '/health', 405);
  });

  it('of disconnected clients have the status of the log', async () => {
    const app = await startMetered(TWO_KEYS, {
      standin: { keys: [google('text-of-one', { fault: { kind: 'hang' } })] },
    });
    const controller = new AbortController();
    const left = fetch(`${app.url}/api/chat`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"message":"Hi"}',
      signal: controller.signal,
    });
    await vi.waitFor(() => expect(app.standin.openRequests()).toBe(1));
    controller.abort();
    await expect(left).rejects.toThrow();
    await expectAnswered(app, 'POST', '/api/chat', 499);
    expect((await scrape(app)).value('understudy_requests_total', 'end="client_gone"')).toBe(1);
  });
});

const expectAnswered = (app: App, method: string, route: string, status: number) =>
  vi.waitFor(async () => {
    const labels = [
      `http_request_method="${method}"`,
      `http_route="${route}"`,
      `http_response_status_code="${status}"`,
    ];
    const { value } = await scrape(app);
    expect(value('http_server_request_duration_seconds_count', ...labels)).toBe(1);
  });

describe('labels', () => {
  it('have no model, path, query or header of a client', async () => {
    const app = await startMetered({ ...TWO_KEYS, CLIENT_TOKENS: CLIENT_TOKEN });
    const headers = { authorization: `Bearer ${CLIENT_TOKEN}`, 'content-type': 'application/json' };
    const ask = async (odd: string) => {
      await app.post('/api/chat', { message: odd }, { 'x-request-id': odd });
      await app.chat('Hi', { model: odd });
      await app.post(`/v1/models/${odd}:generateContent`, {}, headers);
      await app.post('/v1/chat/completions', { model: odd, messages: [] }, headers);
      await app.get(`//v1beta//openai/models/google%2F${odd}?key=${odd}`, headers);
      await app.get(`/v1beta/${odd}?key=${CLIENT_TOKEN}`);
      await app.get(`/api/keys/status?${odd}`, { 'x-forwarded-proto': odd });
      await app.get(`/${odd}`);
      return namesAndLabels(app);
    };
    await ask('odd-one');
    const before = await ask('odd-two');
    const after = await ask('odd-three');
    expect(after.filter((series) => !before.includes(series))).toEqual([]);
    expect(after.join('\n')).not.toContain('odd-');
  });

  it('have no key, token or key id', async () => {
    const app = await startWithFault({ kind: 'bad_key' });
    await app.chat('Hi');
    const { text } = await scrape(app);
    expect(text).not.toMatch(/text-of|google-2|token-0123/);
  });
});
