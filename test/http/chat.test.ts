import { describe, expect, it, vi } from 'vitest';
import { flow, startApp } from '../support/start-app.ts';

const HOUR = 3_600_000;
const THREE_KEYS = {
  GOOGLE_API_KEY: 'g-one',
  GOOGLE_API_KEY_2: 'g-two',
  GOOGLE_API_KEY_3: 'g-three',
};
const google = (key: string, more = {}) => ({ key, service: 'google' as const, ...more });

describe('a successful chat', () => {
  it('has the reply, the model, the finish reason, the usage and the request id', async () => {
    const app = await startApp({ environment: { GOOGLE_API_KEY: 'g-one' } });
    const { status, body, headers } = await app.chat('Hello there');
    expect(status).toBe(200);
    expect(body).toEqual({
      reply: expect.stringContaining('Hello there'),
      model: 'gemini-flash-latest',
      finishReason: 'stop',
      usage: {
        inputTokens: expect.any(Number),
        outputTokens: expect.any(Number),
        totalTokens: body.usage.inputTokens + body.usage.outputTokens,
      },
      requestId: headers.get('x-request-id'),
    });
  });

  it('sends the history and the system prompt of the settings', async () => {
    const app = await startApp({
      environment: { GOOGLE_API_KEY: 'g-one', SYSTEM_PROMPT: 'Be kind.' },
    });
    const history = [
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: 'Hello!' },
      { role: 'model', content: 'Anything else?' },
    ];
    await app.chat('Yes', { history });
    expect(app.standin.calls.at(-1)?.body).toMatchObject({
      systemInstruction: { parts: [{ text: 'Be kind.' }] },
      contents: [
        { role: 'user', parts: [{ text: 'Hi' }] },
        { role: 'model', parts: [{ text: 'Hello!' }, { text: 'Anything else?' }] },
        { role: 'user', parts: [{ text: 'Yes' }] },
      ],
    });
  });

  it('accepts an empty reply of its own in the history', async () => {
    const app = await startApp({
      environment: { GOOGLE_API_KEY: 'g-one' },
      standin: { keys: [google('g-one', { fault: { kind: 'tokens_spent' } })] },
    });
    const { reply } = (await app.chat('Hi')).body;
    expect(reply).toBe('');
    app.standin.setFault('g-one', null);
    const history = [
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: reply },
    ];
    expect((await app.chat('Once more', { history })).status).toBe(200);
    expect(app.standin.calls.at(-1)?.body).toMatchObject({
      contents: [
        { role: 'user', parts: [{ text: 'Hi' }] },
        { role: 'user', parts: [{ text: 'Once more' }] },
      ],
    });
  });

  it('uses the keys in rotation', async () => {
    const app = await startApp({ environment: THREE_KEYS });
    for (let turn = 0; turn < 6; turn += 1) await app.chat('Hi');
    expect(app.standin.calls.map(({ key }) => key)).toEqual([
      ...['g-one', 'g-two', 'g-three'],
      ...['g-one', 'g-two', 'g-three'],
    ]);
  });
});

describe('when a quota is used up', () => {
  it('another key answers, and the key cools down for exactly the hour, then gets one probe', async () => {
    const app = await startApp({
      environment: THREE_KEYS,
      standin: {
        keys: [
          google('g-one', { fault: { kind: 'exhausted_no_details' } }),
          google('g-two'),
          google('g-three'),
        ],
      },
    });
    expect((await app.chat('Hi')).status).toBe(200);
    expect(await app.counts()).toEqual({ total: 3, available: 2, cooling_down: 1, exhausted: 0 });

    app.clock.advance(HOUR - 1);
    for (let turn = 0; turn < 4; turn += 1) await app.chat('Hi');
    expect(app.standin.callsOf('g-one')).toBe(1);

    app.clock.advance(1);
    const answers = await Promise.all(Array.from({ length: 50 }, () => app.chat('Hi')));
    expect(answers.every(({ status }) => status === 200)).toBe(true);
    expect(app.standin.callsOf('g-one')).toBe(2);
  });

  it('the log has a line for the failed attempt, for the failover, and for the request with its answer', async () => {
    const app = await startApp({
      environment: { GOOGLE_API_KEY: 'g-one', GOOGLE_API_KEY_2: 'g-two' },
      standin: { keys: [google('g-one', { fault: { kind: 'day_spent' } }), google('g-two')] },
    });
    const { requestId, usage } = (await app.chat('Hi')).body;
    const lines = app.logs.filter((line) => line.requestId === requestId);
    const model = 'gemini-flash-latest';
    expect(lines).toMatchObject([
      { msg: 'attempt', key: 'google', model, outcome: 'quota_exhausted', ms: expect.any(Number) },
      {
        msg: 'another key stepped in',
        tried: [{ key: 'google' }, { key: 'google-2' }],
        parked: [{ key: 'google', model, state: 'cooling_down', cause: 'quota_exhausted' }],
      },
      { msg: 'request', status: 200, key: 'google-2', model, attempts: 2 },
    ]);
    expect(lines[2]).toMatchObject({ firstMs: expect.any(Number), tokens: usage.totalTokens });
  });

  it('the log says when the answer was that of a probe, and how long the request waited for it', async () => {
    const app = await startApp({
      environment: { GOOGLE_API_KEY: 'g-one' },
      standin: {
        keys: [google('g-one', { fault: { kind: 'minute_spent', retryAfterMs: 3000 } })],
      },
    });
    const waiting = app.chat('Hi');
    await vi.waitFor(() => expect(app.standin.callsOf('g-one')).toBe(1));
    app.standin.setFault('g-one', null);
    await flow(app.clock, waiting);
    await app.chat('Hi');
    const [probe, plain] = app.logs.filter(({ msg }) => msg === 'request');
    expect(probe).toMatchObject({ key: 'google', isProbe: true, waitedMs: 3000, attempts: 2 });
    expect(plain).toMatchObject({ key: 'google' });
    for (const field of ['isProbe', 'waitedMs', 'attempts'])
      expect(plain).not.toHaveProperty(field);
  });

  it('the log line of a request has the code and retry-after of its answer', async () => {
    const app = await startApp({
      environment: { GOOGLE_API_KEY: 'g-one' },
      standin: { keys: [google('g-one', { fault: { kind: 'day_spent' } })] },
    });
    await app.chat('Hi');
    await app.post('/api/chat', {});
    await app.get('/nowhere');
    expect(app.logs.filter(({ msg }) => msg === 'request')).toMatchObject([
      { status: 503, code: 'all_keys_exhausted', retryAfterSeconds: 3600 },
      { status: 400, code: 'invalid_request' },
      { status: 404, code: 'not_found' },
    ]);
  });

  it('the reason of a refusal begins with the name of the quota', async () => {
    const app = await startApp({
      environment: { GOOGLE_API_KEY: 'g-one' },
      standin: { keys: [google('g-one', { fault: { kind: 'day_spent' } })] },
    });
    await app.chat('Hi');
    expect(app.logs.find(({ msg }) => msg === 'attempt')?.why).toMatch(
      /^GenerateRequestsPerDayPerProjectPerModel-FreeTier: You exceeded/,
    );
  });

  it("a day's quota parks the key although the answer says nine seconds", async () => {
    const app = await startApp({
      environment: { GOOGLE_API_KEY: 'g-one' },
      standin: { keys: [google('g-one', { fault: { kind: 'day_spent', retryAfterMs: 9000 } })] },
    });
    expect((await app.chat('Hi')).status).toBe(503);
    app.clock.advance(10_000);
    expect((await app.chat('Hi')).status).toBe(503);
    expect(app.standin.callsOf('g-one')).toBe(1);
  });

  it('a retry hint of twelve seconds ends the cooldown after twelve seconds', async () => {
    const app = await startApp({
      environment: { GOOGLE_API_KEY: 'g-one', KEY_WAIT_SECONDS: '0' },
      standin: {
        keys: [google('g-one', { fault: { kind: 'minute_spent', retryAfterMs: 12_000 } })],
      },
    });
    await app.chat('Hi');
    app.standin.setFault('g-one', null);
    app.clock.advance(11_999);
    expect((await app.chat('Hi')).status).toBe(503);
    app.clock.advance(1);
    expect((await app.chat('Hi')).status).toBe(200);
  });

  it('all keys used up are a 503 with a Retry-After that proves right', async () => {
    const spent = { kind: 'minute_spent', retryAfterMs: 40_000 } as const;
    const app = await startApp({
      environment: { GOOGLE_API_KEY: 'g-one', GOOGLE_API_KEY_2: 'g-two' },
      standin: { keys: [google('g-one', { fault: spent }), google('g-two', { fault: spent })] },
    });
    const { status, body, headers } = await app.chat('Hi');
    expect(status).toBe(503);
    expect(body.error).toEqual({
      code: 'all_keys_exhausted',
      message: "I'm experiencing high demand right now. Please try again in a few minutes.",
      requestId: headers.get('x-request-id'),
      retryAfterSeconds: 40,
    });
    expect(headers.get('retry-after')).toBe('40');
    expect((await app.get('/api/keys/status')).body.status).toBe('degraded');
    app.standin.setFault('g-one', null);
    app.clock.advance(40_000);
    expect((await app.chat('Hi')).status).toBe(200);
  });

  it('a request waits for a key that returns within KEY_WAIT_SECONDS', async () => {
    const app = await startApp({
      environment: { GOOGLE_API_KEY: 'g-one' },
      standin: { keys: [google('g-one', { fault: { kind: 'minute_spent', retryAfterMs: 3000 } })] },
    });
    const waiting = app.chat('Hi');
    await vi.waitFor(() => expect(app.standin.callsOf('g-one')).toBe(1));
    app.standin.setFault('g-one', null);
    const { status } = await flow(app.clock, waiting);
    expect(status).toBe(200);
    expect(app.standin.callsOf('g-one')).toBe(2);
  });

  it('a request in the wait queue is not refused while the returned key is slow to answer', async () => {
    const app = await startApp({
      environment: { GOOGLE_API_KEY: 'g-one' },
      standin: { keys: [google('g-one', { fault: { kind: 'minute_spent', retryAfterMs: 4500 } })] },
    });
    const first = app.chat('Hi');
    await vi.waitFor(async () => expect((await app.counts()).cooling_down).toBe(1));
    app.standin.setFault('g-one', { kind: 'slow', ms: 3000 });
    const others = Array.from({ length: 5 }, () => app.chat('Hi'));
    const answers = await flow(app.clock, Promise.all([first, ...others]));
    expect(answers.map(({ status }) => status)).toEqual(Array(6).fill(200));
    expect(app.standin.callsOf('g-one')).toBe(1 + 6);
  });

  it('a second model answers if the caller named none', async () => {
    const keys = [google('g-one', { modelLimits: { 'gemini-flash-latest': { rpd: 0 } } })];
    const environment = {
      GOOGLE_API_KEY: 'g-one',
      GOOGLE_MODELS: 'gemini-flash-latest,gemini-pro-latest',
    };
    const app = await startApp({ environment, standin: { keys } });
    expect((await app.chat('Hi')).body.model).toBe('gemini-pro-latest');
    const named = await app.chat('Hi', { model: 'gemini-flash-latest' });
    expect([named.status, named.body.error.code]).toEqual([404, 'model_unavailable']);
    expect((await app.chat('Hi', { model: 'gemini-pro-latest' })).status).toBe(200);
  });

  it('the other keys of the project are not tried', async () => {
    const environment = {
      GOOGLE_API_KEY_1: 'g-one',
      GOOGLE_API_KEY_1_PROJECT: 'shop',
      GOOGLE_API_KEY_2: 'g-two',
      GOOGLE_API_KEY_2_PROJECT: 'shop',
      GOOGLE_API_KEY_3: 'g-three',
    };
    const keys = [
      google('g-one', { project: 'shop', limits: { rpd: 0 } }),
      google('g-two', { project: 'shop', limits: { rpd: 0 } }),
      google('g-three'),
    ];
    const app = await startApp({ environment, standin: { keys } });
    for (let turn = 0; turn < 4; turn += 1) expect((await app.chat('Hi')).status).toBe(200);
    expect([app.standin.callsOf('g-one'), app.standin.callsOf('g-two')]).toEqual([1, 0]);
  });
});

describe('when a provider fails', () => {
  it('leaves a hanging key after the attempt limit, and answers with the next one', async () => {
    const app = await startApp({
      environment: THREE_KEYS,
      standin: {
        keys: [google('g-one', { fault: { kind: 'hang' } }), google('g-two'), google('g-three')],
      },
    });
    const started = app.clock.now();
    const { status } = await flow(app.clock, app.chat('Hi'));
    expect(status).toBe(200);
    expect(app.clock.now() - started).toBeGreaterThanOrEqual(120_000);
    expect(app.clock.now() - started).toBeLessThan(125_000);
    await vi.waitFor(() => expect(app.standin.openRequests()).toBe(0));
    expect((await app.counts()).available).toBe(3);
  });

  it('waits for a model that is silent for 110 s on every key, with one call', async () => {
    const slow = { fault: { kind: 'slow', ms: 110_000 } } as const;
    const app = await startApp({
      environment: THREE_KEYS,
      standin: { keys: ['g-one', 'g-two', 'g-three'].map((name) => google(name, slow)) },
    });
    expect((await flow(app.clock, app.chat('Hi'))).status).toBe(200);
    expect(app.standin.calls).toHaveLength(1);
  });

  it('ejects no slow key while its siblings are nearly as slow', async () => {
    const slow = (ms: number) => ({ fault: { kind: 'slow', ms } }) as const;
    const app = await startApp({
      environment: THREE_KEYS,
      standin: {
        keys: [
          google('g-one', slow(125_000)),
          google('g-two', slow(100_000)),
          google('g-three', slow(100_000)),
        ],
      },
    });
    for (let turn = 0; turn < 6; turn += 1) {
      expect((await flow(app.clock, app.chat('Hi'), 100)).status).toBe(200);
    }
    expect(app.standin.callsOf('g-one')).toBeGreaterThan(2);
    expect((await app.counts()).available).toBe(3);
  });

  it('asks a key that hangs after its siblings, once they have answered beside it', async () => {
    const app = await startApp({
      environment: THREE_KEYS,
      standin: {
        keys: [google('g-one', { fault: { kind: 'hang' } }), google('g-two'), google('g-three')],
      },
    });
    for (let turn = 0; turn < 12; turn += 1) {
      expect((await flow(app.clock, app.chat('Hi'), 100)).status).toBe(200);
    }
    expect(app.standin.callsOf('g-one')).toBe(2);
    expect(await app.counts()).toMatchObject({ available: 3 });
  });

  it('gives up with 504 after two keys that hang, and parks none', async () => {
    const hang = { fault: { kind: 'hang' } } as const;
    const names = ['g-one', 'g-two', 'g-three', 'g-four'];
    const app = await startApp({
      environment: { ...THREE_KEYS, GOOGLE_API_KEY_4: 'g-four' },
      standin: { keys: names.map((name) => google(name, hang)) },
    });
    const { status, body } = await flow(app.clock, app.chat('Hi'));
    expect([status, body.error.code]).toEqual([504, 'upstream_timeout']);
    expect(app.standin.calls).toHaveLength(2);
    expect((await app.counts()).available).toBe(4);
  });

  it.each([
    'overloaded',
    'internal',
    'bad_gateway_html',
    'reset',
    'cut_mid_stream',
    'error_mid_stream',
    'bare_error_mid_stream',
    'no_candidates',
    'empty_body',
  ] as const)(
    'answers with another key after %s, even in the middle of an answer',
    async (kind) => {
      const app = await startApp({
        environment: { GOOGLE_API_KEY: 'g-one', GOOGLE_API_KEY_2: 'g-two' },
        standin: { keys: [google('g-one', { fault: { kind } }), google('g-two')] },
      });
      const { status, body } = await flow(app.clock, app.chat('Hello'));
      expect([status, body.finishReason]).toEqual([200, 'stop']);
      expect(app.standin.callsOf('g-two')).toBe(1);
      expect(body.reply.match(/Hello/g)).toHaveLength(1);
    },
  );

  it('is 502 when the only key fails', async () => {
    const app = await startApp({
      environment: { GOOGLE_API_KEY: 'g-one' },
      standin: { keys: [google('g-one', { fault: { kind: 'overloaded' } })] },
    });
    const { status, body } = await app.chat('Hi');
    expect([status, body.error.code]).toEqual([502, 'upstream_failed']);
  });

  it.each(['location', 'html_404'] as const)(
    'is 502 after %s, our own misconfiguration: one call, no key parked',
    async (kind) => {
      const app = await startApp({
        environment: THREE_KEYS,
        standin: {
          keys: ['g-one', 'g-two', 'g-three'].map((name) => google(name, { fault: { kind } })),
        },
      });
      const { status, body } = await app.chat('Hi');
      expect([status, body.error.code]).toEqual([502, 'upstream_failed']);
      expect(app.standin.calls).toHaveLength(1);
      expect((await app.counts()).available).toBe(3);
      expect(
        app.logs.some(({ level, outcome }) => level === 50 && outcome === 'misconfigured'),
      ).toBe(true);
    },
  );
});

describe('without a quota failure', () => {
  it('a blocked answer has no part of its text', async () => {
    const app = await startApp({
      environment: { GOOGLE_API_KEY: 'g-one' },
      standin: { keys: [google('g-one', { fault: { kind: 'blocked_answer', after: 2 } })] },
    });
    const { status, body } = await app.chat('Hi');
    expect([status, body.finishReason]).toEqual([200, 'content-filter']);
    expect(body.reply).toBe("I can't help with that. Could you ask in a different way?");
  });

  it('an invalid request costs one call, and parks no key', async () => {
    const app = await startApp({
      environment: THREE_KEYS,
      standin: {
        keys: ['g-one', 'g-two', 'g-three'].map((k) =>
          google(k, { fault: { kind: 'request_fault' } }),
        ),
      },
    });
    const { status, body } = await app.chat('Hi');
    expect([status, body.error.code]).toEqual([400, 'invalid_request']);
    expect(app.standin.calls).toHaveLength(1);
    expect((await app.counts()).available).toBe(3);
  });

  it.each(['blocked_prompt', 'blocked_answer'] as const)(
    'a blocked request is answered with 200 and a sentence (%s)',
    async (kind) => {
      const app = await startApp({
        environment: THREE_KEYS,
        standin: {
          keys: [
            google('g-one', { fault: { kind, after: 0 } as never }),
            google('g-two'),
            google('g-three'),
          ],
        },
      });
      const { status, body } = await app.chat('Hi');
      expect([status, body.finishReason]).toEqual([200, 'content-filter']);
      expect(body.reply).toMatch(/can't help/);
      expect(app.standin.calls).toHaveLength(1);
      expect((await app.counts()).available).toBe(3);
    },
  );

  it('a blocked answer names the model that blocked it, after a model fallback too', async () => {
    const keys = [
      google('g-one', {
        modelLimits: { 'gemini-flash-latest': { rpd: 0 } },
        fault: { kind: 'flaky', every: 2, fault: { kind: 'blocked_prompt' } },
      }),
    ];
    const app = await startApp({
      environment: {
        GOOGLE_API_KEY: 'g-one',
        GOOGLE_MODELS: 'gemini-flash-latest,gemini-pro-latest',
      },
      standin: { keys },
    });
    const { body } = await app.chat('Hi');
    expect([body.model, body.finishReason]).toEqual(['gemini-pro-latest', 'content-filter']);
  });

  it('null in place of missing fields is accepted', async () => {
    const event = (chunk: unknown) => `data: ${JSON.stringify(chunk)}\r\n\r\n`;
    const first = {
      error: null,
      promptFeedback: null,
      usageMetadata: null,
      candidates: [{ finishReason: null, content: { parts: [null, { text: 'Hel' }] } }],
    };
    const last = { candidates: [{ finishReason: 'STOP', content: { parts: [{ text: 'lo' }] } }] };
    const body = event(first) + event({ candidates: [null] }) + event(last);
    const headers = { 'content-type': 'text/event-stream' };
    const app = await startApp({
      environment: { GOOGLE_API_KEY: 'g-one' },
      standin: { keys: [google('g-one', { fault: { kind: 'raw', status: 200, headers, body } })] },
    });
    const answer = await app.chat('Hi');
    expect([answer.status, answer.body.reply, answer.body.finishReason]).toEqual([
      200,
      'Hello',
      'stop',
    ]);
  });

  it('a chunk that is not an object leads to another key', async () => {
    const fault = { kind: 'raw', status: 200, headers: {}, body: 'data: null\r\n\r\n' } as const;
    const app = await startApp({
      environment: { GOOGLE_API_KEY: 'g-one', GOOGLE_API_KEY_2: 'g-two' },
      standin: { keys: [google('g-one', { fault }), google('g-two')] },
    });
    expect((await flow(app.clock, app.chat('Hi'))).status).toBe(200);
  });

  it('an answer without text that used up its tokens has that finish reason', async () => {
    const app = await startApp({
      environment: { GOOGLE_API_KEY: 'g-one' },
      standin: { keys: [google('g-one', { fault: { kind: 'tokens_spent' } })] },
    });
    const { status, body } = await app.chat('Hi');
    expect([status, body.reply, body.finishReason]).toEqual([200, '', 'length']);
  });

  it('a disconnected client aborts the call to the provider, and parks no key', async () => {
    const app = await startApp({
      environment: { GOOGLE_API_KEY: 'g-one' },
      standin: { keys: [google('g-one', { fault: { kind: 'hang' } })] },
    });
    const controller = new AbortController();
    const gone = fetch(`${app.url}/api/chat`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ message: 'Hi' }),
      signal: controller.signal,
    });
    await vi.waitFor(() => expect(app.standin.openRequests()).toBe(1));
    controller.abort();
    await expect(gone).rejects.toThrow();
    await vi.waitFor(() => expect(app.standin.openRequests()).toBe(0));
    expect(app.standin.calls[0]?.aborted).toBe(true);
    await vi.waitFor(() => {
      const line = expect.objectContaining({ msg: 'request', status: 499 });
      expect(app.logs).toContainEqual(line);
    });
    expect((await app.counts()).available).toBe(1);
    await vi.waitFor(() => expect(app.clock.pendingTimers()).toBe(0));
  });

  it('the refusal without keys names the setting', async () => {
    const app = await startApp({ environment: {} });
    const { status, body } = await app.chat('Hi');
    expect(status).toBe(503);
    expect(body.error).toMatchObject({
      code: 'no_keys_configured',
      message: 'No API keys available. Set GOOGLE_API_KEY.',
    });
  });
});
