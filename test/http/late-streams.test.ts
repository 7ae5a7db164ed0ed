import { type IncomingMessage, request } from 'node:http';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { ADMIN_TOKEN } from '../support/admin.ts';
import { CALLERS, type Caller, GEMINI_CALLER } from '../support/chat-callers.ts';
import { eventsIn } from '../support/events.ts';
import { CLIENT_TOKEN, MODEL, startForPrograms, UNTOUCHED, WORDS } from '../support/programs.ts';
import { CHUNKED, chunked, head, LAST_CHUNK, startRawUpstream } from '../support/raw-upstream.ts';
import { send } from '../support/send.ts';
import { type App, flow, startApp } from '../support/start-app.ts';

const EVENTS = 'text/event-stream';
const JSON_TYPE = 'application/json; charset=utf-8';
const TEXT = 'text/plain; charset=utf-8';
const COMMENT = ': keep-alive\n\n';
const PING = 'event: ping\ndata: {"type":"ping"}\n\n';
const LATE = 'The provider did not answer in time. Please try again.';
const ID = 'late-1';

type Asked = Omit<Caller, 'read'>;

const chatWith = (body: object, path = '/api/chat'): Asked => ({
  path,
  request: {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  },
});
const UI_MESSAGES = {
  messages: [{ id: 'm1', role: 'user', parts: [{ type: 'text', text: 'Hi' }] }],
};
const LIST_CALLER: Asked = {
  ...GEMINI_CALLER,
  path: GEMINI_CALLER.path.replace('?alt=sse', ''),
};

interface Form {
  readonly name: string;
  readonly asked: Asked;
  readonly type: string;
  /** Sent with the head, and then every 15 s. */
  readonly early: readonly [string, string];
  /** Of a provider that does not answer in time; null for a connection that breaks without a word. */
  readonly error: string | null;
  /** Whether the connection breaks behind the error. */
  readonly breaks?: boolean;
}

const GOOGLE_ERROR = `{"error":{"code":504,"message":"${LATE}","status":"DEADLINE_EXCEEDED"}}`;

const FORMS: readonly Form[] = [
  {
    name: 'our own events',
    asked: CALLERS['chat, streamed'],
    type: EVENTS,
    early: [COMMENT, COMMENT],
    error: `event: error\ndata: {"code":"upstream_timeout","message":"${LATE}","requestId":"${ID}"}\n\n`,
  },
  {
    name: "the AI SDK's UI messages",
    asked: chatWith(UI_MESSAGES),
    type: EVENTS,
    early: [COMMENT, COMMENT],
    error: `data: {"type":"error","errorText":"${LATE}"}\n\ndata: [DONE]\n\n`,
  },
  {
    name: "the AI SDK's plain text",
    asked: chatWith(UI_MESSAGES, '/api/chat?protocol=text'),
    type: TEXT,
    early: ['', ''],
    error: null,
  },
  {
    name: "Anam's plain text",
    asked: chatWith({ messages: [{ role: 'user', content: 'Hi' }] }),
    type: TEXT,
    early: ['', ''],
    error: null,
  },
  {
    name: "OpenAI's chunks",
    asked: CALLERS['completion, streamed'],
    type: EVENTS,
    early: [COMMENT, COMMENT],
    error: `data: {"error":{"message":"${LATE}","type":"server_error","param":null,"code":"upstream_timeout"}}\n\n`,
  },
  {
    name: "Anthropic's events",
    asked: {
      path: '/v1/messages',
      request: {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-api-key': CLIENT_TOKEN },
        body: JSON.stringify({
          model: MODEL,
          max_tokens: 100,
          messages: [{ role: 'user', content: 'Hi' }],
          stream: true,
        }),
      },
    },
    type: EVENTS,
    early: [PING, PING],
    error: `event: error\ndata: {"type":"error","error":{"type":"timeout_error","message":"${LATE}"},"request_id":"${ID}"}\n\n`,
  },
  {
    name: "Gemini's events",
    asked: GEMINI_CALLER,
    type: EVENTS,
    early: ['data: ', ' '],
    error: `${GOOGLE_ERROR}\r\n\r\n`,
    breaks: true,
  },
  {
    name: "Gemini's list",
    asked: LIST_CALLER,
    type: JSON_TYPE,
    early: ['[', ' '],
    error: `${GOOGLE_ERROR}]`,
    breaks: true,
  },
];

/** What differs between two answers to the same request, and keep-alives, are left out. */
const normal = (text: string) =>
  text
    .replaceAll(COMMENT, '')
    .replaceAll(PING, '')
    .replace(/^(data: |\[) +/, '$1')
    .replaceAll(/standin-\d+|"created":\d+/g, '');

/** Asks, and hears what comes as it comes. */
function listen({ url }: App, { path, request: { headers, body } }: Asked) {
  const sent = request(`${url}${path}`, { method: 'POST', headers });
  sent.setHeader('x-request-id', ID);
  const heard = { head: null as IncomingMessage | null, text: '', isBroken: false };
  const ended = new Promise<void>((resolve) => {
    sent.on('error', () => resolve());
    sent.on('response', (response) => {
      heard.head = response;
      response.setEncoding('utf8').on('data', (text: string) => {
        heard.text += text;
      });
      response.on('error', () => {
        heard.isBroken = true;
      });
      response.on('close', resolve);
    });
  });
  sent.end(body);
  return { sent, heard, ended };
}

const someTurns = async () => {
  for (let turn = 0; turn < 20; turn += 1) await nextTurn();
};

const calls = (app: App, count: number) =>
  vi.waitFor(() => expect(app.standin.calls).toHaveLength(count));

const lineOf = (app: App) => app.logs.find(({ msg }) => msg === 'request');

describe.each(FORMS)('a stream in the form of $name', ({ asked, type, early, error, breaks }) => {
  it('sends its head after ten seconds, a sign of life each 15 s, and the answer of another key', async () => {
    const app = await startForPrograms({ kind: 'hang' });
    const { heard, ended } = listen(app, asked);
    await calls(app, 1);
    app.clock.advance(9_999);
    await someTurns();
    expect(heard.head).toBeNull();
    app.clock.advance(1);
    await vi.waitFor(() => expect([heard.head?.statusCode, heard.text]).toEqual([200, early[0]]));
    expect(heard.head?.headers).toMatchObject({
      'content-type': type,
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
      'x-request-id': ID,
    });
    app.clock.advance(14_999);
    await someTurns();
    expect(heard.text).toBe(early[0]);
    app.clock.advance(1);
    await vi.waitFor(() => expect(heard.text).toBe(early.join('')));
    await flow(app.clock, ended, 100);
    app.standin.setFault('g-one', null);
    const { text: atOnce } = await send(app, asked.path, {
      ...asked.request,
      headers: { ...asked.request.headers, 'x-request-id': ID },
    });
    expect(normal(heard.text)).toBe(normal(atOnce));
    expect(heard.text).toContain(WORDS.slice(-1));
    expect(lineOf(app)).toMatchObject({ level: 30, status: 200, attempts: 2, key: 'google-2' });
    expect(app.clock.pendingTimers()).toBe(0);
  });

  it('that fails later ends in the error of its form', async () => {
    const app = await startForPrograms({ kind: 'hang' }, {}, { keys: { fault: { kind: 'hang' } } });
    const { heard, ended } = listen(app, asked);
    await calls(app, 1);
    await flow(app.clock, ended, 100);
    const signs = heard.text.slice(0, heard.text.length - (error ?? '').length);
    expect(signs).toMatch(
      early[0] === ''
        ? /^$/
        : /^(?:(?:: keep-alive\n\n){10,}|(?:event: ping\n.*\n\n){10,}|(?:data:|\[) {10,})$/,
    );
    expect(heard.text.slice(signs.length)).toBe(error ?? '');
    expect(heard.isBroken).toBe(error === null || breaks === true);
    await vi.waitFor(() =>
      expect(lineOf(app)).toMatchObject({ level: 40, status: 200, code: 'upstream_timeout' }),
    );
    expect(await app.counts()).toEqual(UNTOUCHED);
    expect(app.clock.pendingTimers()).toBe(0);
  });

  it.each([
    ['before', 9_000],
    ['after', 11_000],
  ])('leaves no timer when its caller hangs up %s the head', async (_, ms) => {
    const app = await startForPrograms({ kind: 'hang' });
    const { sent, heard } = listen(app, asked);
    await calls(app, 1);
    app.clock.advance(ms);
    if (ms > 10_000) await vi.waitFor(() => expect(heard.head).not.toBeNull());
    sent.destroy();
    await vi.waitFor(() => expect(app.clock.pendingTimers()).toBe(0));
    expect(lineOf(app)).toMatchObject({ status: 499, level: 30 });
    expect(app.logs.filter(({ level }) => level >= 40)).toEqual([]);
    expect(await app.counts()).toEqual(UNTOUCHED);
  });
});

/** A server whose Google answers 12 s after it is asked, with these pieces, each alone on the way. */
async function startLate(
  pieces: readonly string[],
  headers = {},
  status = '200 OK',
  end = LAST_CHUNK,
  operator: Record<string, string> = { ADMIN_TOKEN },
) {
  const upstream = await startRawUpstream(({ reply, socket }) => {
    app.clock.after(12_000, () => {
      socket.write(head({ ...CHUNKED, ...headers }, status));
      const rest = pieces.map((piece) => chunked([piece]));
      const next = () => {
        const piece = rest.shift();
        if (piece === undefined) reply(end);
        else socket.write(piece, () => setImmediate(next));
      };
      next();
    });
  });
  const environment = {
    GOOGLE_API_KEY: 'g-one',
    GOOGLE_BASE_URL: upstream.url,
    CLIENT_TOKENS: CLIENT_TOKEN,
    ...operator,
  };
  const app = await startApp({ environment });
  return { app, upstream };
}

/** All that comes, from an upstream whose only call is 12 s late. */
async function hearLate({ app, upstream }: Awaited<ReturnType<typeof startLate>>, asked: Asked) {
  const { heard, ended } = listen(app, asked);
  await vi.waitFor(() => expect(upstream.calls).toHaveLength(1));
  app.clock.advance(11_000);
  await vi.waitFor(() => expect(heard.head).not.toBeNull());
  app.clock.advance(1000);
  await ended;
  await vi.waitFor(() => expect(lineOf(app)).toBeDefined());
  return heard;
}

const googleError = (code: number, status: string, more = {}) =>
  JSON.stringify({ error: { code, status, message: 'The field is\nwrong.', ...more } }, null, 2);
const AS_JSON = { 'content-type': 'application/json' };
const OURS = CALLERS['chat, streamed'];

describe('after an early head', () => {
  it('a refusal says when to come back, and is counted as a refusal', async () => {
    const spent = googleError(429, 'RESOURCE_EXHAUSTED');
    const scene = await startLate([spent], AS_JSON, '429 Too Many Requests');
    const { text } = await hearLate(scene, OURS);
    expect(eventsIn(text)).toEqual([
      {
        event: 'error',
        data: {
          code: 'all_keys_exhausted',
          message: expect.stringMatching(/high demand/),
          requestId: ID,
          retryAfterSeconds: 3600,
        },
      },
    ]);
    const line = { level: 40, status: 200, code: 'all_keys_exhausted', retryAfterSeconds: 3600 };
    expect(lineOf(scene.app)).toMatchObject(line);
    const { text: metrics } = await scene.app.get('/metrics', {
      authorization: `Bearer ${ADMIN_TOKEN}`,
    });
    expect(metrics).toMatch(/^understudy_refusals_total\{.*code="all_keys_exhausted".*\} 1$/m);
  });

  it('blocked content is an answer', async () => {
    const blocked = 'data: {"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"}}\r\n\r\n';
    const scene = await startLate([blocked]);
    expect(eventsIn((await hearLate(scene, OURS)).text)).toMatchObject([
      { event: 'delta', data: { text: expect.stringMatching(/different way/) } },
      { event: 'done', data: { model: MODEL, finishReason: 'content-filter' } },
    ]);
    expect(lineOf(scene.app)).toMatchObject({ level: 30, status: 200 });
  });

  const FAULT = googleError(400, 'INVALID_ARGUMENT');
  const FAULT_LINE = JSON.stringify(JSON.parse(FAULT));
  const SENTENCE = 'Too\nmuch';

  it.each<[string, string, Record<string, string>, string, string]>([
    ['alone', FAULT, AS_JSON, '400 Bad Request', FAULT_LINE],
    ['in an event', `data: ${FAULT_LINE}\r\n\r\n`, {}, '200 OK', FAULT_LINE],
    ['in a list', `[${FAULT}\n]`, AS_JSON, '200 OK', FAULT_LINE],
    [
      'as a text',
      SENTENCE,
      { 'content-type': 'text/plain' },
      '400 Bad Request',
      JSON.stringify({ error: { code: 400, message: SENTENCE, status: 'INVALID_ARGUMENT' } }),
    ],
  ])(
    "Google's refusal that comes %s is one line in Gemini's form",
    async (_, body, type, status, line) => {
      for (const [asked, opening, closing] of [
        [GEMINI_CALLER, 'data: ', '\r\n\r\n'],
        [LIST_CALLER, '[', ']'],
      ] as const) {
        const scene = await startLate([body], type, status);
        const { text, isBroken } = await hearLate(scene, asked);
        expect([text, isBroken]).toEqual([opening + line + closing, true]);
        expect(lineOf(scene.app)).toMatchObject({
          level: 40,
          status: 200,
          code: 'refused_by_google',
        });
        expect(await scene.app.counts()).toMatchObject({ available: 1 });
      }
    },
  );

  const PIECE =
    '{"candidates":[{"content":{"parts":[{"text":"data: [ one"}]},"finishReason":"STOP"}]}';

  it.each<[string, Asked, readonly string[], string]>([
    ['whole', GEMINI_CALLER, [`data: ${PIECE}\r\n\r\n`], `data:  ${PIECE}\r\n\r\n`],
    ['without a blank', GEMINI_CALLER, [`data:${PIECE}\n\n`], `data: ${PIECE}\n\n`],
    ['cut', GEMINI_CALLER, ['d', 'at', `a:`, ` ${PIECE}\n\n`], `data:  ${PIECE}\n\n`],
    [
      'behind a comment',
      GEMINI_CALLER,
      [': x\r\n\r\n', `data: ${PIECE}\n\n`],
      `data:  ${PIECE}\n\n`,
    ],
    ['whole', LIST_CALLER, [`[${PIECE}\n]`], `[${PIECE}\n]`],
    ['behind white space', LIST_CALLER, ['\n ', ` [`, `${PIECE}]`], `[${PIECE}]`],
    ['missing', LIST_CALLER, ['x', 'yz'], '[xyz'],
  ])("Google's own opening is left out: %s", async (_, asked, pieces, text) => {
    const heard = await hearLate(await startLate(pieces), asked);
    expect([heard.text, heard.isBroken]).toEqual([text, false]);
  });

  it('an answer without an opening is not held back for long', async () => {
    const odd = 'x'.repeat(1024);
    const { app, upstream } = await startLate([odd], {}, '200 OK', '', {});
    const { sent, heard } = listen(app, GEMINI_CALLER);
    await vi.waitFor(() => expect(upstream.calls).toHaveLength(1));
    app.clock.advance(12_000);
    await vi.waitFor(() => expect(heard.text).toBe(`data: ${odd}`));
    sent.destroy();
    await vi.waitFor(() => expect(app.clock.pendingTimers()).toBe(0));
  });
});

const WHOLE_CALLER: Asked = {
  ...GEMINI_CALLER,
  path: GEMINI_CALLER.path.replace('streamGenerateContent?alt=sse', 'generateContent'),
};

describe.each([25_000, 100_000])(
  'a model that thinks for %d ms before its first word',
  (firstChunkMs) => {
    it.each<[string, Asked]>([
      ...FORMS.map(({ name, asked }): [string, Asked] => [name, asked]),
      ['our own JSON', CALLERS.chat],
      ["OpenAI's whole completion", CALLERS.completion],
      ["Gemini's whole answer", WHOLE_CALLER],
    ])('is asked once: %s', async (_, asked) => {
      const app = await startForPrograms(null, { chunks: 1, text: WORDS, firstChunkMs });
      const { heard, ended } = listen(app, asked);
      await flow(app.clock, ended, 100);
      expect([heard.head?.statusCode, heard.isBroken]).toEqual([200, false]);
      expect(heard.text).toContain(WORDS);
      expect(app.standin.calls).toHaveLength(1);
      expect(await app.counts()).toEqual(UNTOUCHED);
    });
  },
);
