import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  brotliCompressSync,
  constants,
  createBrotliCompress,
  deflateSync,
  gzipSync,
} from 'node:zlib';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { ask, CALLERS, type Caller, GEMINI_CALLER } from '../support/chat-callers.ts';
import { CLIENT_TOKEN } from '../support/programs.ts';
import {
  answerOf,
  CHUNKED,
  chunked,
  head,
  LAST_CHUNK,
  pour,
  type RawCall,
  type RawUpstream,
  startRawUpstream,
} from '../support/raw-upstream.ts';
import { type App, flow, startApp } from '../support/start-app.ts';

const MB = 2 ** 20;
const NAMES = Object.keys(CALLERS) as (keyof typeof CALLERS)[];
const ONE_KEY = { GOOGLE_API_KEY: 'g-one' };
const TWO_KEYS = { ...ONE_KEY, GOOGLE_API_KEY_2: 'g-two' };

interface Scene {
  readonly app: App;
  readonly upstream: RawUpstream;
  readonly keys: number;
}

async function start(
  answer: RawUpstream['answer'],
  keys: Record<string, string> = ONE_KEY,
): Promise<Scene> {
  const upstream = await startRawUpstream(answer);
  const environment = { ...keys, GOOGLE_BASE_URL: upstream.url, CLIENT_TOKENS: CLIENT_TOKEN };
  return { app: await startApp({ environment }), upstream, keys: Object.keys(keys).length };
}

const chunk = (text: string, finishReason?: string, more = {}) => ({
  candidates: [{ content: { parts: [{ text }] }, finishReason }],
  ...more,
});
const usage = (totalTokenCount: number) => ({
  usageMetadata: {
    promptTokenCount: 3,
    candidatesTokenCount: totalTokenCount - 3,
    totalTokenCount,
  },
});
const dataOf = (json: unknown) => `data: ${JSON.stringify(json)}\n\n`;

const CHUNKS = [
  chunk('Once '),
  chunk('upon a 🦉\u2028'),
  chunk(' time', 'MAX_TOKENS', usage(10)),
] as const;
const TEXT = 'Once upon a 🦉\u2028 time';
const UNDERSTOOD = { text: TEXT, finish: 'length', tokens: 10 };
const GOOD = answerOf(CHUNKS.map(dataOf));

/** No key is parked, no connection waits for an answer, no timer is left, and the next chat is answered. */
async function expectNoHarm({ app, upstream, keys }: Scene): Promise<void> {
  const counts = { total: keys, available: keys, cooling_down: 0, exhausted: 0 };
  expect(await app.counts()).toEqual(counts);
  expect(app.logs.filter(({ outcome }) => outcome === 'internal_error')).toEqual([]);
  await vi.waitFor(() => expect(upstream.busy()).toBe(0), 5000);
  await vi.waitFor(() => expect(app.clock.pendingTimers()).toBe(0), 5000);
  upstream.answer = ({ reply }) => reply(GOOD);
  const { status, text } = await ask(app, CALLERS.chat);
  expect([status, CALLERS.chat.read(text)]).toEqual([200, UNDERSTOOD]);
}

const lines = (eol: string) =>
  CHUNKS.map((json) => `data: ${JSON.stringify(json)}${eol}${eol}`).join('');
const pretty = CHUNKS.map((json) => JSON.stringify(json, null, 2));
const LF = lines('\n');
const IN_GZIP = { 'content-encoding': 'gzip' };
const AS_JSON = { 'content-type': 'application/json; charset=UTF-8' };

/** Ways to send the same answer. */
const SPELLINGS: readonly [string, string | Buffer, Record<string, string>?][] = [
  ['ends of lines that are LF', LF],
  ['ends of lines that are CR', lines('\r')],
  ['ends of lines that are CRLF', lines('\r\n')],
  ['ends of lines of every kind', LF.replaceAll('\n\ndata', '\r\n\rdata')],
  ['comments', `:\n\n: ping\n\n${LF.replaceAll('\n\n', '\n: ping\n\n: ping\n\n')}`],
  [
    'names, ids and other fields',
    LF.replaceAll(/^data/gm, 'event: message\nid: 1\nretry: 9\nx\ndata'),
  ],
  ['no blank behind the colon', LF.replaceAll('data: ', 'data:')],
  [
    'one event in several lines',
    pretty.map((json) => `data: ${json.replaceAll('\n', '\ndata: ')}\n\n`).join(''),
  ],
  ['events without data', `data\n\n${LF.replaceAll('\n\n', '\n\ndata:\n\n')}`],
  ['blank lines in front and between', `\n\n\n${LF.replaceAll('\n\n', '\n\n\n\n')}`],
  ['no blank line at the end', LF.trimEnd().concat('\n')],
  ['no end of the last line', LF.trimEnd()],
  ['[DONE] at the end', `${LF}data: [DONE]\n\n`],
  ['[DONE] without a blank line', `${LF}data: [DONE]`],
  ['a byte order mark', `\uFEFF${LF}`],
  ['the type of JSON', LF, AS_JSON],
  ['a JSON list', JSON.stringify(CHUNKS), AS_JSON],
  ['a JSON list as Google writes it', `[${pretty.join('\n,\r\n')}\n]\n`, AS_JSON],
  ['no compression', LF, { 'content-encoding': 'identity' }],
  ['gzip', gzipSync(LF), IN_GZIP],
  ['deflate', deflateSync(LF), { 'content-encoding': 'deflate' }],
  ['brotli', brotliCompressSync(LF), { 'content-encoding': 'br' }],
  ['a JSON list in gzip', gzipSync(`[${pretty}]`), { ...AS_JSON, ...IN_GZIP }],
];

/** To be poured: 64 KB. */
const HEADERS = Buffer.from(`x-header: ${'x'.repeat(1012)}\r\n`.repeat(64));

const bytesOf = (body: string | Buffer) =>
  [...Buffer.from(body as string)].map((byte) => Buffer.of(byte));

describe('an answer', () => {
  it.each(SPELLINGS)(
    'with %s is read whole, also where each byte comes alone',
    async (_, body, headers) => {
      const scene = await start(({ reply }) => reply(GOOD));
      // Decompression runs beside the event loop, byte by byte: fake time must not pass it.
      const stepMs = headers?.['content-encoding'] === undefined ? undefined : 0.1;
      for (const pieces of [[body], bytesOf(body)]) {
        scene.upstream.answer = ({ reply }) => reply(answerOf(pieces, headers));
        for (const name of NAMES) {
          const { status, text } = await ask(scene.app, CALLERS[name], stepMs);
          expect([name, status, text]).toEqual([name, 200, expect.anything()]);
          expect([name, CALLERS[name].read(text)]).toEqual([name, UNDERSTOOD]);
        }
        const { text } = await ask(scene.app, GEMINI_CALLER, stepMs);
        expect(text).toContain('upon a 🦉');
      }
      await expectNoHarm(scene);
    },
  );

  const plain = { 'content-type': 'text/event-stream' };
  it.each<[string, (call: RawCall) => void]>([
    ['ends with its connection', ({ socket }) => socket.end(head(plain) + LF)],
    [
      'has a length',
      ({ reply }) => reply(head({ ...plain, 'content-length': `${Buffer.byteLength(LF)}` }) + LF),
    ],
    [
      'follows interim answers',
      ({ reply }) => {
        const interim = ['102 Processing', '103 Early Hints', '199 Unknown'];
        reply(`${interim.map((status) => head({ link: '</a>' }, status)).join('')}${GOOD}`);
      },
    ],
    ['has a head that comes byte by byte', ({ socket, reply }) => void writeSlowly(socket, reply)],
    [
      'has extensions and trailers',
      ({ reply }) => {
        const size = Buffer.byteLength(LF).toString(16);
        reply(`${head(CHUNKED)}${size};a=b\r\n${LF}\r\n0\r\nx-trailer: 1\r\n\r\n`);
      },
    ],
  ])('that %s is read whole', async (_, answer) => {
    const scene = await start(answer);
    for (const name of NAMES) {
      const { status, text } = await ask(scene.app, CALLERS[name]);
      expect([name, status, CALLERS[name].read(text)]).toEqual([name, 200, UNDERSTOOD]);
    }
    expect((await ask(scene.app, GEMINI_CALLER)).text).toBe(LF);
    await expectNoHarm(scene);
  });

  async function writeSlowly(socket: RawCall['socket'], reply: RawCall['reply']) {
    const end = GOOD.indexOf('\r\n\r\n');
    for (const byte of GOOD.subarray(0, end)) {
      socket.write(Buffer.of(byte));
      await nextTurn();
    }
    reply(GOOD.subarray(end));
  }
});

const SOUND = { mimeType: 'audio/L16;rate=24000', data: 'UklGRg==' };
const THOUGHT = { thought: true, inlineData: { mimeType: 'image/png', data: 'AAAA' } };

const AN_IMAGE = '\n[An image was generated, which this format cannot carry.]\n';

it.each<[string, string, object]>([
  ['a generated image', AN_IMAGE, { inlineData: { mimeType: 'image/png', data: 'iVBORw0KGgo=' } }],
  [
    'a sound',
    '\n[A sound was generated, which this format cannot carry.]\n',
    { inlineData: SOUND },
  ],
  [
    'code that was run',
    '\n```python\nprint(1)\n```\n',
    { executableCode: { language: 'PYTHON', code: 'print(1)' } },
  ],
  [
    'code with a fence in it',
    '\n````\n```\n````\n',
    { executableCode: { language: 'LANGUAGE_UNSPECIFIED', code: '```' } },
  ],
  [
    'its output',
    '\n```\n1\n```\n',
    { codeExecutionResult: { outcome: 'OUTCOME_OK', output: '1\n' } },
  ],
  [
    'its end without an output',
    '\n```\nOUTCOME_FAILED\n```\n',
    { codeExecutionResult: { outcome: 'OUTCOME_FAILED' } },
  ],
  [
    'a file',
    '\nhttps://a.test/b\n',
    { fileData: { mimeType: 'a/b', fileUri: 'https://a.test/b' } },
  ],
  [
    'a part of an unknown kind',
    '\n[A part of the kind "hologram" was generated, which this format cannot carry.]\n',
    { thoughtSignature: 'c2ln', hologram: { size: 3 } },
  ],
  [
    'a part of an unknown kind that is a text',
    '\n[A part of the kind "poem" was generated, which this format cannot carry.]\n',
    { text: null, poem: 'Roses' },
  ],
  ['a thought', '', THOUGHT],
  ['nothing', '', {}],
  ['a signature', '', { text: '', thoughtSignature: 'c2ln' }],
])('an answer with %s loses nothing of it in a form of text', async (_, text, part) => {
  const parts = [{ text: 'Once' }, part, null, { text: ' upon' }];
  const whole = { candidates: [{ content: { parts }, finishReason: 'STOP' }], ...usage(5) };
  const scene = await start(({ reply }) => reply(answerOf([dataOf(whole)])));
  for (const name of NAMES) {
    const answer = await ask(scene.app, CALLERS[name]);
    // OpenAI's protocol carries images beside the text.
    const shown = name.startsWith('completion') ? text.replace(AN_IMAGE, '') : text;
    const understood = { text: `Once${shown} upon`, finish: 'stop', tokens: 5 };
    expect([name, CALLERS[name].read(answer.text)]).toEqual([name, understood]);
  }
  const messages = [{ role: 'user', content: 'Hi' }];
  expect((await scene.app.post('/api/chat', { messages })).text).toBe(`Once${text} upon`);
  await expectNoHarm(scene);
});

it.each([
  ['LANGUAGE', 'other'],
  ['OTHER', 'other'],
  ['NO_IMAGE', 'other'],
  ['IMAGE_OTHER', 'other'],
  ['A_NEW_ONE', 'other'],
  ['IMAGE_SAFETY', 'content-filter'],
  ['IMAGE_PROHIBITED_CONTENT', 'content-filter'],
  ['IMAGE_RECITATION', 'content-filter'],
])('an answer that ends with %s is no plain stop, nor without a word', async (reason, finish) => {
  const end = { candidates: [{ finishReason: reason }] };
  const scene = await start(({ reply }) => reply(answerOf([dataOf(end)])));
  const reasons = { chat: finish, completion: 'content_filter' };
  const sentence = finish === 'other' ? /^I have no answer/ : /^I can't help with that/;
  for (const name of NAMES) {
    const { text } = await ask(scene.app, CALLERS[name]);
    const read = CALLERS[name].read(text);
    expect([name, read.finish]).toEqual([
      name,
      reasons[name.startsWith('chat') ? 'chat' : 'completion'],
    ]);
    expect(read.text).toMatch(sentence);
  }
  expect(scene.upstream.calls).toHaveLength(NAMES.length);
  scene.upstream.answer = ({ reply }) => reply(answerOf([dataOf(chunk('Once')), dataOf(end)]));
  const { text } = await ask(scene.app, CALLERS['chat, streamed']);
  expect(CALLERS['chat, streamed'].read(text)).toMatchObject({ text: 'Once', finish });
  await expectNoHarm(scene);
});

it('an answer that falls silent after an end without content ends as it is after 30 s', async () => {
  const empty = dataOf({ candidates: [{ finishReason: 'STOP' }], ...usage(5) });
  const scene = await start(
    ({ socket }) => socket.write(head(CHUNKED) + chunked([empty])),
    TWO_KEYS,
  );
  const { app } = scene;
  for (const name of NAMES) {
    const startedAt = app.clock.now();
    const { status, text } = await flow(app.clock, ask(app, CALLERS[name]), 100);
    const { text: said, finish, tokens } = CALLERS[name].read(text);
    expect([status, said, tokens]).toEqual([200, expect.stringMatching(/^I have no answer/), 5]);
    expect(finish).not.toBe('stop');
    expect(app.clock.now() - startedAt).toBeLessThan(32_000);
  }
  await expectNoHarm(scene);
});

it('a compressed refusal is understood', async () => {
  const spent = JSON.stringify({
    error: {
      code: 429,
      status: 'RESOURCE_EXHAUSTED',
      message: 'You exceeded your current quota.',
      details: [
        {
          '@type': 'type.googleapis.com/google.rpc.QuotaFailure',
          violations: [{ quotaId: 'GenerateRequestsPerDayPerProject-FreeTier', quotaValue: '50' }],
        },
      ],
    },
  });
  const headers = { ...CHUNKED, ...AS_JSON, ...IN_GZIP };
  const refusal = Buffer.concat([
    Buffer.from(head(headers, '429 Too Many Requests')),
    chunked([gzipSync(spent)]),
    Buffer.from(LAST_CHUNK),
  ]);
  const { app } = await start(
    ({ key, reply }) => reply(key === 'g-one' ? refusal : GOOD),
    TWO_KEYS,
  );
  expect((await ask(app, CALLERS.chat)).status).toBe(200);
  expect(app.logs.find(({ msg }) => msg === 'attempt')?.outcome).toBe('quota_exhausted');
});

describe('a finish reason that is not at the end', () => {
  it.each([
    ['on every chunk', ['STOP', 'STOP', 'MAX_TOKENS'], 'length', 12],
    ['before the last text', ['STOP', 'MAX_TOKENS', undefined], 'length', 11],
  ] as const)(
    'leaves the answer whole; the last reason and its tokens count: %s',
    async (_, reasons, finish, tokens) => {
      const said = ['Once', ' upon', ' a time'];
      const events = reasons.map((reason, at) =>
        dataOf(chunk(said[at] ?? '', reason, reason === undefined ? {} : usage(10 + at))),
      );
      const scene = await start(({ reply }) => reply(answerOf(events)));
      for (const name of NAMES) {
        const { text } = await ask(scene.app, CALLERS[name]);
        expect([name, CALLERS[name].read(text)]).toEqual([
          name,
          { text: 'Once upon a time', finish, tokens },
        ]);
      }
      expect((await ask(scene.app, GEMINI_CALLER)).text).toBe(events.join(''));
      await expectNoHarm(scene);
    },
  );

  it.each(NAMES)('ends the answer after 30 s of silence: %s', async (name) => {
    const scene = await start(
      ({ socket }) => void socket.write(Buffer.concat([Buffer.from(head(CHUNKED)), chunked([LF])])),
    );
    const { app } = scene;
    const startedAt = app.clock.now();
    const { path, request, read } = CALLERS[name];
    const asked = fetch(app.url + path, request).then((response) => response.text());
    expect(read(await flow(app.clock, asked, 100))).toEqual(UNDERSTOOD);
    expect(app.clock.now() - startedAt).toBeGreaterThanOrEqual(30_000);
    expect(app.clock.now() - startedAt).toBeLessThan(35_000);
    await expectNoHarm(scene);
  });
});

describe('a whole answer with trouble behind it', () => {
  const whole = Buffer.concat([Buffer.from(head(CHUNKED)), chunked([LF])]);
  it.each<[string, (call: RawCall) => void]>([
    ['is reset', ({ socket }) => socket.write(whole, () => socket.resetAndDestroy())],
    ['is cut off', ({ socket }) => socket.end(whole)],
    [
      'goes on with half a chunk',
      ({ socket }) => socket.end(Buffer.concat([whole, chunked(['data: {"c'])])),
    ],
    [
      'goes on with what is no chunk',
      ({ socket }) => socket.write(Buffer.concat([whole, Buffer.from('zz\r\n')])),
    ],
    [
      'has trailers without end',
      ({ socket }) => {
        socket.write(Buffer.concat([whole, Buffer.from('0\r\n')]));
        pour(socket, HEADERS);
      },
    ],
  ])('is answered: %s', async (_, answer) => {
    const scene = await start(answer, TWO_KEYS);
    for (const name of NAMES) {
      const { status, text } = await ask(scene.app, CALLERS[name]);
      expect([name, status, CALLERS[name].read(text)]).toEqual([name, 200, UNDERSTOOD]);
    }
    expect(scene.upstream.calls).toHaveLength(NAMES.length);
    await expectNoHarm(scene);
  });

  it('that nobody asked for is not the answer to the next request', async () => {
    const other = answerOf([dataOf(chunk('of somebody else', 'STOP'))]);
    const scene = await start(({ reply }) => reply(Buffer.concat([GOOD, other])));
    for (let turn = 0; turn < 5; turn += 1) {
      const { status, text } = await ask(scene.app, CALLERS.chat);
      expect([status, CALLERS.chat.read(text)]).toEqual([200, UNDERSTOOD]);
    }
    await expectNoHarm(scene);
  });
});

const HALF = 'data: {"candidates":[{"content":{"par';
const CUT = `${head(CHUNKED)}${chunked([HALF])}`;
const ended = (bytes: string) => (call: RawCall) => void call.socket.end(bytes);
const written = (bytes: string) => (call: RawCall) => void call.socket.write(bytes);
const replied = (bytes: string) => (call: RawCall) => call.reply(bytes);
const NO_BODY = { 'content-length': '0' };

/** Trouble before anything of an answer can be read. */
const NO_ANSWERS: readonly [string, (call: RawCall) => void][] = [
  ['an empty 200', replied(head(NO_BODY))],
  ['an empty 200 in chunks', replied(head(CHUNKED) + LAST_CHUNK)],
  ['an empty 200 that ends with its connection', ended(head())],
  ['a 204', replied(head({}, '204 No Content'))],
  ['a 101', written(head({ upgrade: 'x', connection: 'upgrade' }, '101 Switching Protocols'))],
  [
    'a 100 that was not asked for',
    ({ socket }) => socket.end(`${head({}, '100 Continue')}${GOOD}`),
  ],
  ['interim answers and then the end', ended(head({}, '103 Early Hints'))],
  ['no HTTP', written('SSH-2.0-OpenSSH_9.6\r\n')],
  ['the alert of TLS', ended('\x15\x03\x01\x00\x02\x02\x46')],
  ['two lengths', written(`${head({ 'content-length': '5', 'Content-Length': '6' })}12345`)],
  ['a chunk of no size', written(`${head(CHUNKED)}zz\r\n`)],
  ['1 MB of headers', written(head({ 'x-long': 'x'.repeat(MB), ...NO_BODY }))],
  [
    'headers without end',
    ({ socket }) => {
      socket.write('HTTP/1.1 200 OK\r\n');
      pour(socket, HEADERS);
    },
  ],
];

/** Trouble after some bytes. */
const HALF_ANSWERS: readonly [string, (call: RawCall) => void][] = [
  ['half a chunk and the end of the answer', replied(CUT + LAST_CHUNK)],
  ['half a chunk and the end of the connection', ended(CUT)],
  ['half a chunk of a known length', ended(head({ 'content-length': '1000' }) + HALF)],
  ['half a chunk of an answer that ends with its connection', ended(head() + HALF)],
  [
    'half a chunk and a reset',
    ({ socket }) => void socket.write(CUT, () => socket.resetAndDestroy()),
  ],
  ['a chunk that is no JSON', replied(String(answerOf(['data: {"a":}\n\n'])))],
  [
    'chunks that are no objects',
    replied(String(answerOf(['data: 1\n\ndata: null\n\ndata: "a"\n\n']))),
  ],
  ['half a JSON list', replied(String(answerOf(['[{"candidates":['], AS_JSON)))],
  ['[DONE] alone', replied(String(answerOf(['data: [DONE]\n\n'])))],
  ['a gzip that is none', replied(String(answerOf([LF], IN_GZIP)))],
  ['half a gzip', ({ reply }) => reply(answerOf([gzipSync(LF).subarray(0, 40)], IN_GZIP))],
];

describe('an upstream that sends', () => {
  it.each([...NO_ANSWERS, ...HALF_ANSWERS])(
    '%s is asked with another key, and is a 502 in the end',
    async (title, answer) => {
      const scene = await start(answer, TWO_KEYS);
      const { app, upstream } = scene;
      // Another thread inflates: ten seconds without a word would send the head of a stream.
      const stepMs = title.includes('gzip') ? 0.2 : undefined;
      for (const name of NAMES) {
        const { status } = await ask(app, CALLERS[name], stepMs);
        expect([name, status]).toEqual([name, 502]);
      }
      expect(new Set(upstream.calls.map(({ key }) => key))).toEqual(new Set(['g-one', 'g-two']));
      expect(upstream.calls.length).toBe(2 * NAMES.length);
      const attempts = app.logs.filter(({ msg }) => msg === 'attempt');
      expect(new Set(attempts.map(({ outcome }) => outcome))).toEqual(new Set(['upstream_down']));
      await expectNoHarm(scene);
    },
  );

  it.each(NO_ANSWERS)("%s is a 502 in Gemini's own protocol", async (_, answer) => {
    const scene = await start(answer, TWO_KEYS);
    const { status, text } = await ask(scene.app, GEMINI_CALLER);
    expect([status, JSON.parse(text).error.status]).toEqual([502, 'UNAVAILABLE']);
    expect(scene.upstream.calls).toHaveLength(2);
    await expectNoHarm(scene);
  });

  it.each([
    ['half a chunk and the end of the connection', ended(String(chunked([HALF])))],
    [
      'half a chunk and a reset',
      ({ socket }: RawCall) => void socket.write(chunked([HALF]), () => socket.resetAndDestroy()),
    ],
    ['the end without a finish reason', replied(LAST_CHUNK)],
  ])(
    'some text and then %s ends a stream in one error, and sends a JSON caller to another key',
    async (_, end) => {
      const begin = Buffer.concat([Buffer.from(head(CHUNKED)), chunked([dataOf(CHUNKS[0])])]);
      const breakOff = (call: RawCall) => void call.socket.write(begin, () => end(call));
      const streamed = await start(breakOff, TWO_KEYS);
      const { status, text } = await ask(streamed.app, CALLERS['chat, streamed']);
      expect([status, text.match(/^event: .*/gm)]).toEqual([200, ['event: delta', 'event: error']]);
      expect(streamed.upstream.calls).toHaveLength(1);
      await expectNoHarm(streamed);

      const collected = await start((call) => {
        if (call.key === 'g-one') breakOff(call);
        else call.reply(GOOD);
      }, TWO_KEYS);
      const { read } = CALLERS.chat;
      expect(read((await ask(collected.app, CALLERS.chat)).text)).toEqual(UNDERSTOOD);
      expect(collected.upstream.calls.map(({ key }) => key)).toEqual(['g-one', 'g-two']);
      await expectNoHarm(collected);
    },
  );

  it.each(['301 Moved', '302 Found', '303 See Other', '307 Temporary', '308 Permanent'])(
    '%s is not followed: the fault is our setting',
    async (status) => {
      const other = await startRawUpstream(({ reply }) => reply(GOOD));
      const location = {
        location: `${other.url}/v1beta/models/m:streamGenerateContent`,
        ...NO_BODY,
      };
      const scene = await start(replied(head(location, status)), TWO_KEYS);
      for (const caller of [...Object.values(CALLERS), GEMINI_CALLER]) {
        const calls = scene.upstream.calls.length;
        expect((await ask(scene.app, caller)).status).toBe(502);
        expect(scene.upstream.calls).toHaveLength(calls + 1);
      }
      expect(other.connections()).toBe(0);
      await expectNoHarm(scene);
    },
  );

  it('a 304 is a 502 by the fault of our setting', async () => {
    const scene = await start(replied(head({}, '304 Not Modified')), TWO_KEYS);
    for (const caller of [...Object.values(CALLERS), GEMINI_CALLER]) {
      expect((await ask(scene.app, caller)).status).toBe(502);
    }
    await expectNoHarm(scene);
  });

  it('comments and nothing else is given up at the limit of an attempt', async () => {
    const scene = await start(({ socket }) => {
      socket.write(head(CHUNKED));
      pour(socket, chunked([': ping\n\n'.repeat(1000)]));
    });
    const { app } = scene;
    const asked = fetch(app.url + CALLERS.chat.path, CALLERS.chat.request);
    expect((await flow(app.clock, asked, 1000)).status).toBe(504);
    await expectNoHarm(scene);
  });
});

/** The most that may be taken of an answer without end; the sockets of both sides hold some megabytes of it. */
const MAX_TAKEN = 64 * MB;
const WHOLE_CALLERS = ['chat', 'completion'] as const;

describe('an event of 16 MB', () => {
  const long = 'x'.repeat(16 * MB);
  it.each(NAMES)('in pieces of 16 KB is read whole: %s', async (name) => {
    const bytes = Buffer.from(dataOf(chunk(long, 'STOP', usage(10))));
    const pieces = Array.from({ length: Math.ceil(bytes.length / 16_384) }, (_, at) =>
      bytes.subarray(at * 16_384, (at + 1) * 16_384),
    );
    const scene = await start(({ reply }) => reply(answerOf(pieces)));
    const { path, request, read } = CALLERS[name];
    const asked = fetch(scene.app.url + path, request).then((response) => response.text());
    const heard = read(await flow(scene.app.clock, asked, 1));
    expect([heard.finish, heard.tokens, heard.text.length]).toEqual(['stop', 10, long.length]);
    expect(heard.text === long).toBe(true);
    await expectNoHarm(scene);
  });
});

describe('an answer without end', () => {
  const endless =
    (first: string, more: string, headers = {}) =>
    ({ socket }: RawCall) => {
      socket.write(head({ ...CHUNKED, ...headers }));
      if (first !== '') socket.write(chunked([first]));
      pour(socket, chunked([more]));
    };
  const piece = dataOf(chunk('x'.repeat(60_000)));
  const x = 'x'.repeat(65_536);

  /** Time stands nearly still, so that no limit in time ends the answer. */
  async function expectEnd(scene: Scene, caller: Caller, status: number): Promise<string> {
    const { app, upstream } = scene;
    const grown = watchMemory();
    const answer = await flow(
      app.clock,
      fetch(app.url + caller.path, caller.request).then(async (response) => ({
        status: response.status,
        text: await response.text(),
      })),
      0.01,
    );
    expect([answer.status, answer.text.slice(0, 300)]).toEqual([status, expect.anything()]);
    await vi.waitFor(() => expect(upstream.open()).toBe(0), 5000);
    expect(upstream.taken()).toBeLessThan(MAX_TAKEN);
    expect(grown()).toBeLessThan(512 * MB);
    await expectNoHarm(scene);
    return answer.text;
  }

  it.each([
    ['of one line', endless('data: {"', x)],
    [
      'of one line that begins with a text',
      endless('data: {"candidates":[{"content":{"parts":[{"text":"', x),
    ],
    ['of one event in many lines', endless('', `data: ${x}\n`)],
    ['of a field that is not data', endless('event: ', x)],
    ['of one comment', endless(':', x)],
    ['of a JSON text', endless('[{"candidates":[{"content":{"parts":[{"text":"', x, AS_JSON)],
  ] as const)('%s is a failure within bounds', async (_, answer) => {
    for (const name of NAMES) await expectEnd(await start(answer), CALLERS[name], 502);
  });

  it('of one line after some text ends the stream in an error', async () => {
    const scene = await start(endless(`${dataOf(CHUNKS[0])}data: {"`, x));
    const text = await expectEnd(scene, CALLERS['chat, streamed'], 200);
    expect(text.match(/^event: .*/gm)).toEqual(['event: delta', 'event: error']);
  });

  it.each(
    WHOLE_CALLERS.flatMap((name) => [
      [name, 'events', endless('', piece)] as const,
      [name, 'a JSON list', endless('[', `${JSON.stringify(chunk(x))},`, AS_JSON)] as const,
    ]),
  )(
    'of good pieces is a failure for a caller of a whole answer: %s, %s',
    async (name, _, answer) => {
      await expectEnd(await start(answer), CALLERS[name], 502);
    },
  );

  it.each([
    ['chat', CALLERS['chat, streamed']],
    ['completion', CALLERS['completion, streamed']],
    ['Gemini', GEMINI_CALLER],
  ])('waits for a caller of a stream who does not read: %s', async (_, caller) => {
    const scene = await start(endless('', piece));
    const { upstream, app } = scene;
    const response = await open(app, caller);
    const stood = await untilItStands(upstream);
    expect(stood).toBeLessThan(32 * MB);
    let read = 0;
    response.on('data', (bytes: Buffer) => {
      read += bytes.length;
    });
    await vi.waitFor(() => expect(read).toBeGreaterThan(stood + 8 * MB), 10_000);
    expect(upstream.taken()).toBeGreaterThan(stood);
    response.destroy();
    await vi.waitFor(() => expect(upstream.open()).toBe(0), 5000);
    await expectNoHarm(scene);
  });
});

async function open(app: App, { path, request: { headers, body } }: Caller) {
  const sent = request(app.url + path, { method: 'POST', headers });
  sent.end(body);
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  response.on('error', () => {});
  return response;
}

/** Waits until nothing more has been sent for a good many turns of the loop. */
async function untilItStands(upstream: RawUpstream): Promise<number> {
  for (let still = 0, last = -1; still < 200; ) {
    await nextTurn();
    still = upstream.taken() === last ? still + 1 : 0;
    last = upstream.taken();
  }
  return upstream.taken();
}

/** @returns how much more memory the process has had since, at the most, in bytes */
function watchMemory(): () => number {
  const before = process.memoryUsage.rss();
  let most = before;
  const look = () => {
    most = Math.max(most, process.memoryUsage.rss());
  };
  const timer = setInterval(look, 5);
  onTestFinished(() => clearInterval(timer));
  return () => {
    look();
    return most - before;
  };
}

describe('a compressed answer that grows to gigabytes', () => {
  const line = Buffer.alloc(16 * MB, 'x');
  const begin = 'data: {"candidates":[{"content":{"parts":[{"text":"';
  const gzip = Buffer.concat([gzipSync(begin), ...new Array<Buffer>(128).fill(gzipSync(line))]);

  async function brotli(): Promise<Buffer> {
    const compress = createBrotliCompress({ params: { [constants.BROTLI_PARAM_QUALITY]: 1 } });
    const parts: Buffer[] = [];
    compress.on('data', (part: Buffer) => parts.push(part));
    compress.write(begin);
    for (let written = 0; written < 128; written += 1) {
      if (!compress.write(line)) await once(compress, 'drain');
    }
    compress.end();
    await once(compress, 'end');
    return Buffer.concat(parts);
  }

  it.each([
    ['gzip', () => gzip, '200 OK'],
    ['brotli', brotli, '200 OK'],
    ['gzip of a refusal', () => gzip, '500 Internal Server Error'],
  ])('is a failure within bounds: %s', async (encoding, compress, status) => {
    const headers = { ...CHUNKED, 'content-encoding': encoding === 'brotli' ? 'br' : 'gzip' };
    const bytes = Buffer.concat([
      Buffer.from(head(headers, status)),
      chunked([await compress()]),
      Buffer.from(LAST_CHUNK),
    ]);
    expect(bytes.length).toBeLessThan(4 * MB);
    const scene = await start(({ reply }) => reply(bytes));
    for (const name of NAMES) {
      const grown = watchMemory();
      const { path, request } = CALLERS[name];
      const asked = fetch(scene.app.url + path, request);
      expect([name, (await flow(scene.app.clock, asked, 0.01)).status]).toEqual([name, 502]);
      expect(grown()).toBeLessThan(512 * MB);
    }
    await expectNoHarm(scene);
  });
});
