import { describe, expect, it } from 'vitest';
import type { Fault } from '../../standin/fault.ts';
import { ADMIN_TOKEN, AS_ADMIN, logIn } from '../support/admin.ts';
import { eventsIn } from '../support/events.ts';
import { CLIENT_TOKEN } from '../support/programs.ts';
import { scrape } from '../support/scrape.ts';
import { type App, flow, startApp } from '../support/start-app.ts';

const KEYS = { GOOGLE_API_KEY: 'g-one', GOOGLE_API_KEY_2: 'g-two' };

const startWithBadFirst = (environment = {}) =>
  startApp({
    environment: { ...KEYS, ...environment },
    standin: {
      keys: [
        { key: 'g-one', service: 'google', fault: { kind: 'leaked' } },
        { key: 'g-two', service: 'google' },
      ],
    },
  });

it.each([{}, { stream: true }])(
  'an answer (%o) has the number of attempts, and no key',
  async (form) => {
    const app = await startWithBadFirst();
    const [first, second] = [await app.chat('Hi', form), await app.chat('Hi', form)];
    expect(first.headers.get('understudy-attempts')).toBe('2');
    expect(second.headers.get('understudy-attempts')).toBe('1');
    expect(first.headers.get('understudy-key')).toBeNull();
    expect(first.headers.get('access-control-expose-headers')).toContain('understudy-attempts');
  },
);

it('only an admin gets the id of the key', async () => {
  const app = await startWithBadFirst({ ADMIN_TOKEN });
  const cookie = await logIn(app);
  const asAdmin = await app.post('/api/chat', { message: 'Hi' }, cookie);
  expect(asAdmin.headers.get('understudy-key')).toBe('google-2');
  const made = { cookie: `${cookie.cookie}x` };
  const asOther = await app.post('/api/chat', { message: 'Hi' }, made);
  expect([asOther.status, asOther.headers.get('understudy-key')]).toEqual([200, null]);
});

it('a refusal has no number of attempts', async () => {
  const app = await startApp({
    environment: KEYS,
    standin: { keys: [{ key: 'g-one', service: 'google', fault: { kind: 'leaked' } }] },
  });
  const { status, headers } = await app.chat('Hi');
  expect([status, headers.get('understudy-attempts')]).toEqual([503, null]);
});

describe('a model that answers in place of the one that was asked for', () => {
  const ANOTHER = 'gemini-3-flash';
  const REQUEST_MODEL = 'gen_ai_request_model="gemini-2.0-flash"';
  const startWith = (asked: string, modelVersion: string, fault: Fault | null = null) =>
    startApp({
      environment: { ...KEYS, ADMIN_TOKEN, CLIENT_TOKENS: CLIENT_TOKEN, GOOGLE_MODELS: asked },
      standin: {
        answer: { modelVersion },
        models: [asked],
        keys: [
          { key: 'g-one', service: 'google', ...(fault === null ? {} : { fault }) },
          { key: 'g-two', service: 'google' },
        ],
      },
    });
  const warnings = (app: App) => app.logs.filter(({ msg }) => msg.startsWith('another model'));

  it('is named in every dialect, without models/ before it', async () => {
    const app = await startWith('gemini-2.0-flash', `models/${ANOTHER}`);
    const bearer = { authorization: `Bearer ${CLIENT_TOKEN}` };
    const messages = [{ role: 'user', content: 'Hi' }];
    const complete = async (stream: boolean) => {
      const asked = { model: 'gemini-2.0-flash', messages, stream };
      return (await app.post('/v1/chat/completions', asked, bearer)).text;
    };
    const parts = [{ type: 'text', text: 'Hi' }];
    const ui = await app.post('/api/chat', { messages: [{ id: 'm1', role: 'user', parts }] });
    expect((await app.chat('Hi')).body.model).toBe(ANOTHER);
    expect(eventsIn((await app.chat('Hi', { stream: true })).text).at(-1)?.data.model).toBe(
      ANOTHER,
    );
    expect(eventsIn(ui.text)[0]?.data.messageMetadata.model).toBe(ANOTHER);
    expect(JSON.parse(await complete(false)).model).toBe(ANOTHER);
    const chunks = eventsIn(await complete(true)).filter(({ data }) => data !== '[DONE]');
    expect(new Set(chunks.map(({ data }) => data.model))).toEqual(new Set([ANOTHER]));
  });

  it('is in the lines of failed attempts and of the request, and in the overview, and warned of once', async () => {
    const fault = { kind: 'error_mid_stream', after: 1 } as const;
    const app = await startWith('gemini-2.0-flash', ANOTHER, fault);
    await flow(app.clock, app.chat('Hi'));
    app.clock.advance(3_600_000);
    await flow(app.clock, app.chat('Hi'));
    const named = { model: 'gemini-2.0-flash', responseModel: ANOTHER };
    const lines = app.logs.filter(({ msg }) => msg === 'attempt' || msg === 'request');
    expect(lines[0]).toMatchObject({ msg: 'attempt', outcome: 'upstream_down', ...named });
    expect(lines[1]).toMatchObject({ msg: 'request', status: 200, ...named });
    expect(warnings(app)).toMatchObject([{ level: 40, service: 'google', ...named }]);
    expect(warnings(app)[0]?.msg).toMatch(/quota and price/);
    const { latest } = (await app.get('/api/overview', AS_ADMIN)).body;
    expect(latest.at(-1).attempts).toMatchObject([named, named]);
    const { value } = await scrape(app);
    const label = `gen_ai_response_model="${ANOTHER}"`;
    for (const name of ['operation_duration_seconds', 'operation_time_to_first_chunk_seconds']) {
      expect(value(`gen_ai_client_${name}_count`, label, REQUEST_MODEL)).toBeGreaterThan(1);
    }
    expect(value('gen_ai_client_token_usage_count', label, REQUEST_MODEL)).toBe(4);
  });

  it.each([
    ['gemini-flash-latest', ANOTHER],
    ['gemini-2.5-flash', 'gemini-2.5-flash-001'],
    ['gemini-2.5-flash', 'gemini-2.5-flash-preview-09-2025'],
    ['gemini-2.5-pro-exp-0827', 'gemini-2.5-pro'],
  ])('is no cause for a warning as long as it is the same one: %s, %s', async (asked, answered) => {
    const app = await startWith(asked, answered);
    expect((await app.chat('Hi')).body.model).toBe(answered);
    expect(app.logs.find(({ msg }) => msg === 'request')).toMatchObject({
      model: asked,
      responseModel: answered,
    });
    expect(warnings(app)).toEqual([]);
  });

  it.each([
    ['gemini-2.5-flash', 'gemini-2.5-flash-lite'],
    ['gemma-2', 'gemma-3'],
  ])('is another one although its name is alike: %s, %s', async (asked, answered) => {
    const app = await startWith(asked, answered);
    await app.chat('Hi');
    expect(warnings(app)).toHaveLength(1);
  });

  it('is not named where the provider names none, or what cannot be a name', async () => {
    for (const more of [{}, { modelVersion: 5 }, { modelVersion: 'a"\n' }, { modelVersion: '' }]) {
      const candidates = [{ content: { parts: [{ text: 'Hello' }] }, finishReason: 'STOP' }];
      const body = `data: ${JSON.stringify({ candidates, ...more })}\r\n\r\n`;
      const app = await startWith('flash', '', { kind: 'raw', status: 200, body });
      expect((await app.chat('Hi')).body).toMatchObject({ reply: 'Hello', model: 'flash' });
      expect(app.logs.find(({ msg }) => msg === 'request')).not.toHaveProperty('responseModel');
      expect((await scrape(app)).text).not.toContain('gen_ai_response_model');
    }
  });

  it('has a series of its own in the metrics, up to ten names', async () => {
    const app = await startWith('flash', 'flash');
    for (let turn = 0; turn < 24; turn += 1) {
      const candidates = [{ content: { parts: [{ text: 'Hello' }] }, finishReason: 'STOP' }];
      const body = `data: ${JSON.stringify({ candidates, modelVersion: `m-${turn}` })}\r\n\r\n`;
      for (const key of ['g-one', 'g-two']) {
        app.standin.setFault(key, { kind: 'raw', status: 200, body });
      }
      await app.chat('Hi');
    }
    const { text, value } = await scrape(app);
    const names = new Set(text.match(/gen_ai_response_model="[^"]*"/g));
    expect([names.size, warnings(app).length]).toEqual([11, 10]);
    const count = 'gen_ai_client_operation_duration_seconds_count';
    expect(value(count, 'gen_ai_response_model="other"')).toBe(14);
  });
});
