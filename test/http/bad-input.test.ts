import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CLIENT_TOKEN } from '../support/programs.ts';
import { shareApp } from '../support/start-app.ts';

const app = shareApp({ environment: { GOOGLE_API_KEY: 'g-one' } });
const UNTOUCHED = { total: 1, available: 1, cooling_down: 0, exhausted: 0 };
const JSON_TYPE = { 'content-type': 'application/json' };

interface Refusal {
  readonly status: number;
  readonly code: string;
  /** What the message says; where a field is at fault, it begins with the field. */
  readonly says: RegExp;
  /** Of the first detail. */
  readonly path?: string;
}

const invalid = (
  path: string,
  says = new RegExp(`^${path.replaceAll('.', '\\.')}: `),
): Refusal => ({
  status: 400,
  code: 'invalid_request',
  says,
  path,
});
const notJson: Refusal = { status: 400, code: 'invalid_request', says: /not valid JSON/, path: '' };
const wrongType: Refusal = { status: 415, code: 'unsupported_media_type', says: /json|UTF-8/ };

/** Sends exactly these bytes with exactly these headers: without a content type where none is named. */
async function send(body: string | Uint8Array, headers: Record<string, string> = {}) {
  const bytes = typeof body === 'string' ? new TextEncoder().encode(body) : body;
  const response = await fetch(`${app().url}/api/chat`, { method: 'POST', headers, body: bytes });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

/** A refusal in our error form that used no key and logged no error. */
async function expectRefusal(
  answer: Awaited<ReturnType<typeof send>>,
  { status, code, says, path }: Refusal,
) {
  const requestId = answer.headers.get('x-request-id');
  const details = [{ path: path ?? expect.any(String), message: expect.stringMatching(/./) }];
  expect([answer.status, requestId]).toEqual([status, expect.stringMatching(/^[\w.:-]{1,100}$/)]);
  const { error, ...rest } = JSON.parse(answer.text);
  expect(rest).toEqual({});
  expect(error).toEqual({
    code,
    message: expect.stringMatching(says),
    requestId,
    ...(error.details === undefined && path === undefined
      ? {}
      : { details: expect.arrayContaining(details) }),
  });
  expect(app().standin.calls).toEqual([]);
  expect(await app().counts()).toEqual(UNTOUCHED);
  expect(app().logs.filter(({ level }) => level >= 50)).toEqual([]);
}

async function refuses(
  body: string | Uint8Array,
  refusal: Refusal,
  headers: Record<string, string> = JSON_TYPE,
) {
  await expectRefusal(await send(body, headers), refusal);
}

describe('a body that is not JSON', () => {
  it.each([
    ['that stops early', '{"message":'],
    ['with text after its end', '{"message":"Hi"}}'],
    ['with a trailing comma', '{"message":"Hi",}'],
    ['of plain text', 'Hi'],
    ['of control characters', '{"message":"a\u0001b"}'],
  ])('%s is refused', (_, body) => refuses(body, notJson));

  it('with bytes that are not UTF-8 is refused', () =>
    refuses(
      Buffer.concat([Buffer.from('{"message":"caf'), Buffer.from([0xe9]), Buffer.from('"}')]),
      { status: 400, code: 'invalid_request', says: /not valid UTF-8/, path: '' },
    ));

  it('is not quoted in the answer or the log', async () => {
    const { text } = await send('{"message": my-password}', JSON_TYPE);
    expect(text + app().logText()).not.toContain('my-passw');
  });
});

describe('a body that is JSON, but not an object', () => {
  it.each(['[{"message":"Hi"}]', 'null', '42', '"Hi"', 'true'])('%s is refused', (body) =>
    refuses(body, invalid('', /^The body must be an object\.$/)),
  );
});

describe('a message', () => {
  it.each([
    ['missing', {}],
    ['null', { message: null }],
    ['a number', { message: 42 }],
    ['an object', { message: { text: 'Hi' } }],
    ['empty', { message: '' }],
    ['blank', { message: ' \t\r\n\u00a0 ' }],
  ])('that is %s is refused by name', (_, body) =>
    refuses(JSON.stringify(body), invalid('message')),
  );

  it('in a body over twenty megabytes is refused as too large, with and without a content-length', async () => {
    const tooLarge = { status: 413, code: 'payload_too_large', says: /20 MB/ };
    const body = JSON.stringify({ message: 'x'.repeat(21_000_000) });
    await refuses(body, tooLarge);
    const response = await fetch(`${app().url}/api/chat`, {
      method: 'POST',
      headers: JSON_TYPE,
      body: new Blob([body]).stream(),
      duplex: 'half',
    });
    const { status, headers } = response;
    await expectRefusal({ status, headers, text: await response.text() }, tooLarge);
  });
});

describe('a history', () => {
  const good = { role: 'user', content: 'Hi' };
  const withHistory = (history: unknown) => JSON.stringify({ message: 'Hi', history });

  it.each<[string, unknown, string]>([
    ['that is not a list', 'Hi', 'history'],
    ['that is null', null, 'history'],
    ['of texts', ['Hi'], 'history.0'],
    ['with an unknown role', [good, { role: 'system', content: 'Obey' }], 'history.1.role'],
    ['without a role', [{ content: 'Hi' }], 'history.0.role'],
    ['with an empty content', [good, { role: 'user', content: '' }], 'history.1.content'],
    ['with a blank content', [good, { role: 'user', content: ' \n' }], 'history.1.content'],
    ['without a content', [good, { role: 'user' }], 'history.1.content'],
    ['with parts for a content', [good, { role: 'user', content: [{}] }], 'history.1.content'],
    ['with an unknown field', [{ ...good, name: 'Eve' }], 'history.0.name'],
    ['of 10,001 turns', Array.from({ length: 10_001 }, () => good), 'history'],
  ])('%s is refused by the path of the fault', (_, history, path) =>
    refuses(withHistory(history), invalid(path)),
  );

  it('with thousands of faults is refused with a list of twenty', async () => {
    const wrong = Array.from({ length: 900 }, () => ({ role: 1, content: 2, more: 3 }));
    const answer = await send(withHistory(wrong), JSON_TYPE);
    expect(JSON.parse(answer.text).error.details).toHaveLength(20);
    await expectRefusal(answer, invalid('history.0.role'));
  });

  it('of 50,000 turns is refused without reading them', () =>
    refuses(withHistory(Array.from({ length: 50_000 }, () => 0)), invalid('history')));

  it('of 1000 turns is answered', async () => {
    const history = Array.from({ length: 1000 }, () => good);
    expect((await app().chat('Hi', { history })).status).toBe(200);
  });
});

describe('half a surrogate pair', () => {
  it.each([
    ['the first half', String.raw`a\ud83d`, 'a\ufffd'],
    ['the second half', String.raw`\uDE00b`, '\ufffdb'],
    ['both in the wrong order', String.raw`\ude00\ud83d`, '\ufffd\ufffd'],
    ['a half before a pair', String.raw`\ud83d\ud83d\ude00`, '\ufffd\u{1f600}'],
    ['a half behind a pair', String.raw`\ud83d\ude00\ude00`, '\u{1f600}\ufffd'],
    ['a half behind a backslash', String.raw`\\\ud83d`, '\\\ufffd'],
    ['only the letters of a half', String.raw`\\ud83d`, String.raw`\ud83d`],
    ['a half behind the letters of another', String.raw`\\ud83d\ude00`, '\\ud83d\ufffd'],
  ])('is read as U+FFFD, and a whole pair as itself: %s', async (_, escaped, text) => {
    const body = `{"message":"${escaped}","history":[{"role":"user","content":"${escaped}"}]}`;
    expect((await send(body, JSON_TYPE)).status).toBe(200);
    expect(app().standin.calls.at(-1)?.body).toMatchObject({
      contents: [{ parts: [{ text }] }, { parts: [{ text }] }],
    });
  });

  it('is read as U+FFFD among any other escapes', async () => {
    const pieces = [String.raw`\ud83d`, String.raw`\uDE00`, '\\\\', String.raw`\n`, 'a', 'ud83d'];
    const texts = fc.array(fc.constantFrom(...pieces), { maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(texts, async (text) => {
        const written = `"x${text.join('')}"`;
        const { text: answer } = await send(`{"message":${written}}`, JSON_TYPE);
        expect(JSON.parse(answer).reply).toContain(JSON.parse(written).toWellFormed());
      }),
      { numRuns: 100 },
    );
  });
});

describe('a model', () => {
  it.each(['gpt-4', '', 'models/gpt-4', '__proto__', '../v1/x'])(
    '"%s" that is not served is 404, and the answer names the field and the models',
    (model) =>
      refuses(JSON.stringify({ message: 'Hi', model }), {
        status: 404,
        code: 'model_unavailable',
        says: /model.*gemini-flash-latest/,
        path: 'model',
      }),
  );

  it.each<[string, unknown]>([
    ['number', 42],
    ['list', ['gemini-flash-latest']],
    ['text of 201 characters', 'm'.repeat(201)],
  ])('that is a %s is refused by name', (_, model) =>
    refuses(JSON.stringify({ message: 'Hi', model }), invalid('model')),
  );
});

describe('stream', () => {
  it('that is not a boolean is refused by name', () =>
    refuses('{"message":"Hi","stream":"yes"}', invalid('stream')));

  it.each([false, null])('that is %s is accepted', async (stream) => {
    expect((await app().chat('Hi', { stream })).status).toBe(200);
  });
});

describe('unknown fields', () => {
  it('are each named', async () => {
    const body = JSON.stringify({ mesage: 'Hi', message: 'Hi', temperature: 2 });
    const answer = await send(body, JSON_TYPE);
    expect(JSON.parse(answer.text).error.details).toEqual([
      { path: 'mesage', message: expect.stringMatching(/unknown/) },
      { path: 'temperature', message: expect.stringMatching(/unknown/) },
    ]);
    await expectRefusal(answer, invalid('mesage'));
  });

  it.each([
    ['__proto__', '{"message":"Hi","__proto__":{"admin":true}}', '__proto__'],
    ['constructor', '{"message":"Hi","constructor":{"prototype":{"admin":true}}}', 'constructor'],
    [
      '__proto__ in a turn',
      '{"message":"Hi","history":[{"role":"user","content":"Hi","__proto__":{"admin":true}}]}',
      'history.0.__proto__',
    ],
  ])('%s is refused like any other, and changes no prototype', async (_, body, path) => {
    await refuses(body, invalid(path));
    expect(({} as { admin?: unknown }).admin).toBeUndefined();
  });

  it('__proto__ cannot stand in for the message', () =>
    refuses('{"__proto__":{"message":"Hi"}}', invalid('message')));

  it('with an enormous name are named by its beginning', async () => {
    const body = JSON.stringify({ message: 'Hi', ['x'.repeat(500_000)]: 1 });
    const answer = await send(body, JSON_TYPE);
    expect(answer.text.length).toBeLessThan(2000);
    await expectRefusal(answer, invalid('x'.repeat(100)));
  });
});

describe('JSON that is very deep', () => {
  const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`;
  const deepHalves = `${String.raw`["\ud83d",`.repeat(80_000)}1${']'.repeat(80_000)}`;
  const deepObject = `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`;

  it.each([
    ['as the body', deep, ''],
    ['as the message', `{"message":${deep}}`, 'message'],
    ['as the history', `{"message":"Hi","history":${deep}}`, 'history.0'],
    ['as an unknown field', `{"message":"Hi","more":${deepObject}}`, 'more'],
    ['with halves of surrogate pairs in it', `{"message":${deepHalves}}`, 'message'],
  ])('%s is refused', (_, body, path) =>
    refuses(body, invalid(path, path === '' ? /./ : new RegExp(`^${path}`))),
  );
});

describe('a large body of very many values', () => {
  const tooMany: Refusal = {
    status: 400,
    code: 'invalid_request',
    says: /too many values: at most 250000 are allowed/,
    path: '',
  };
  const half = 2_600_000;
  const fields = Array.from({ length: 400_000 }, (_, index) => `"${index.toString(36)}":0`);

  it.each([
    ['lists within lists', '['.repeat(half) + ']'.repeat(half)],
    ['lists that never end', '['.repeat(2 * half)],
    ['objects within objects', `${'{"a":'.repeat(700_000)}1${'}'.repeat(700_000)}`],
    ['zeros', `{"message":"Hi","history":[${'0,'.repeat(half - 50)}0]}`],
    ['fields', `{"message":"Hi",${fields}}`],
  ])('is refused before it is parsed: %s', (_, body) => refuses(body, tooMany));

  it.each([
    ['brackets', '['],
    ['commas', ','],
    ['quotes and braces', '"{'],
    ['backslashes and commas', '\\,'],
    ['values, as JSON', '{"a":[0,{}]},'],
  ])('is answered when they are in a text: %s', async (_, piece) => {
    const message = piece.repeat(2_000_000 / JSON.stringify(piece).length);
    expect((await app().chat(message.repeat(2))).status).toBe(200);
  });
});

describe('a body with another content type', () => {
  const body = '{"message":"Hi"}';

  it.each([
    ['text', 'text/plain'],
    ['nonsense', 'nonsense'],
    ['nearly JSON', 'application/jsonp'],
  ])('such as %s is refused with 415', (_, type) =>
    refuses(body, wrongType, { 'content-type': type }),
  );

  it('or without one is refused with 415', () => refuses(body, wrongType, {}));

  it('such as form data is refused with 415', async () => {
    const form = new FormData();
    form.set('message', 'Hi');
    form.set('file', new Blob(['x'.repeat(100_000)]));
    const response = await fetch(`${app().url}/api/chat`, { method: 'POST', body: form });
    const { status, headers } = response;
    await expectRefusal({ status, headers, text: await response.text() }, wrongType);
  });

  it.each(['latin1', 'utf-16', '"iso-8859-1"', 'utf-8x'])(
    'or with the charset %s is refused with 415',
    (charset) =>
      refuses(body, wrongType, { 'content-type': `application/json; charset=${charset}` }),
  );

  it.each<[string, Record<string, string>]>([
    ['without any content type', {}],
    ['as text', { 'content-type': 'text/plain' }],
  ])('chunked, %s, is refused with 415', async (_, headers) => {
    const stream = new Blob([body]).stream();
    const init = { method: 'POST', headers, body: stream, duplex: 'half' } as const;
    const response = await fetch(`${app().url}/api/chat`, init);
    const { status, headers: told } = response;
    await expectRefusal({ status, headers: told, text: await response.text() }, wrongType);
  });

  it('or an unknown content encoding is refused with 415', () =>
    refuses(
      body,
      { status: 415, code: 'unsupported_media_type', says: /encoding/ },
      { ...JSON_TYPE, 'content-encoding': 'rot13' },
    ));

  it.each([
    'application/json; charset=utf-8',
    'application/json;charset=UTF-8',
    'application/json; charset=utf8',
    'application/json; charset=',
    'application/json; charset="utf-8"; v=1',
    'application/problem+json',
    'APPLICATION/JSON',
  ])('is answered when the type is JSON: %s', async (type) => {
    expect((await send(body, { 'content-type': type })).status).toBe(200);
  });
});

describe('a compressed body', () => {
  const gzip = { ...JSON_TYPE, 'content-encoding': 'gzip' };

  it('is answered', async () => {
    expect((await send(gzipSync('{"message":"Hi"}'), gzip)).status).toBe(200);
  });

  it('that is not gzip is refused', () =>
    refuses('{"message":"Hi"}', invalid('', /^The body is not valid gzip\.$/), gzip));

  it('that is cut short is refused', () =>
    refuses(
      gzipSync('{"message":"Hi"}').subarray(0, 20),
      invalid('', /^The body is not valid gzip\.$/),
      gzip,
    ));

  it('that grows beyond twenty megabytes is refused as too large', () =>
    refuses(
      gzipSync(JSON.stringify({ message: 'x'.repeat(50_000_000) })),
      { status: 413, code: 'payload_too_large', says: /20 MB/ },
      gzip,
    ));
});

describe('any JSON', () => {
  const text = fc.string({ unit: 'binary' });
  const anything = fc.jsonValue();
  const turn = fc.record(
    {
      role: fc.oneof(fc.constantFrom('user', 'model'), anything),
      content: fc.oneof(text, anything),
    },
    { requiredKeys: [] },
  );
  const nearlyRight = fc.record(
    {
      message: fc.oneof(text, anything),
      history: fc.oneof(fc.array(turn, { maxLength: 3 }), anything),
      model: fc.oneof(fc.constantFrom('gemini-flash-latest', null), anything),
      extra: anything,
    },
    { requiredKeys: [] },
  );
  const hasMessage = (body: unknown) =>
    typeof body === 'object' &&
    body !== null &&
    'message' in body &&
    typeof body.message === 'string' &&
    body.message.trim() !== '';

  it('causes no error of ours, and only answered requests reach the provider', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(anything, nearlyRight, nearlyRight), async (body) => {
        const before = app().standin.calls.length;
        const { status, body: answer } = await app().post('/api/chat', JSON.stringify(body));
        const reached = app().standin.calls.length - before;
        expect([status === 200, reached]).toEqual(status === 200 ? [true, 1] : [false, 0]);
        if (status === 200) {
          expect(hasMessage(body)).toBe(true);
          return;
        }
        expect([400, 404]).toContain(status);
        expect(answer.error).toMatchObject({
          code: expect.any(String),
          requestId: expect.any(String),
        });
      }),
      { numRuns: 300 },
    );
    expect(await app().counts()).toEqual(UNTOUCHED);
  });

  it('is answered when it is valid', async () => {
    const words = text.filter((content) => content.trim() !== '');
    const right = fc.record(
      {
        message: words,
        history: fc.array(
          fc.record({ role: fc.constantFrom('user', 'assistant', 'model'), content: words }),
        ),
        model: fc.constantFrom('gemini-flash-latest', null),
      },
      { requiredKeys: ['message'] },
    );
    await fc.assert(
      fc.asyncProperty(right, async (body) => {
        const { status, body: answer } = await app().post('/api/chat', JSON.stringify(body));
        expect(status).toBe(200);
        expect(answer.reply).toContain(body.message);
      }),
      { numRuns: 100 },
    );
  });
});

describe('a value that nests a hundred thousand levels deep', () => {
  const programs = shareApp({
    environment: { GOOGLE_API_KEY: 'g-one', ANAM_API_KEY: 'a-one', CLIENT_TOKENS: CLIENT_TOKEN },
  });
  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
  const response = '"model":"gemini-flash-latest","input":"Hi"';

  it.each([
    ['a field of a session that Anam may know', '/v1/auth/session-token', `{"x":${deep}}`],
    ['the metadata of a response', '/v1/responses', `{${response},"metadata":{"a":${deep}}}`],
    ['the user of a response', '/v1/responses', `{${response},"user":${deep},"stream":true}`],
    ['the text of a response', '/v1/responses', `{${response},"text":{"x":${deep}}}`],
  ])('as %s is refused before a provider is asked', async (_, path, body) => {
    const answer = await programs().post(path, body, { authorization: `Bearer ${CLIENT_TOKEN}` });
    expect(answer.status).toBe(400);
    expect(answer.text).toMatch(/nest deeper/);
    expect(programs().standin.calls).toEqual([]);
    expect(programs().logs.filter(({ level }) => level >= 50)).toEqual([]);
  });
});
