import { describe, expect, it } from 'vitest';
import { eventsIn } from '../support/events.ts';
import { flow, startApp } from '../support/start-app.ts';

const LINE_SEPARATORS = 'one\u2028two\u2029three';
const DAY_SPENT = {
  error: {
    code: 429,
    status: 'RESOURCE_EXHAUSTED',
    message: 'You exceeded your current quota.',
    details: [
      {
        '@type': 'type.googleapis.com/google.rpc.QuotaFailure',
        violations: [
          { quotaId: 'GenerateRequestsPerDayPerProjectPerModel-FreeTier', quotaValue: '20' },
        ],
      },
    ],
  },
};
const MINUTE_SPENT = {
  error: {
    code: 429,
    status: 'RESOURCE_EXHAUSTED',
    message: 'You exceeded your current quota. Please retry in 3s.',
    details: [
      {
        '@type': 'type.googleapis.com/google.rpc.QuotaFailure',
        violations: [{ quotaId: 'GenerateRequestsPerMinutePerProjectPerModel', quotaValue: '5' }],
      },
      { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '3s' },
    ],
  },
};
const OF_ANOTHER_REGION = {
  error: {
    code: 400,
    status: 'FAILED_PRECONDITION',
    message: 'User location is not supported for the API use.',
  },
};
const BREAK = '\r\n\r\n';
const event = (json: unknown) => `data: ${JSON.stringify(json)}${BREAK}`;
const piece = (text: string, more = {}) =>
  event({ candidates: [{ content: { parts: [{ text }] }, ...more }] });
const LAST = { finishReason: 'STOP' };
const SOURCE = { groundingChunks: [{ web: { uri: 'https://a.example/1', title: 'One' } }] };

/** Two keys; the first answers with exactly this stream, the second as it should. */
const startWith = (stream: string) =>
  startApp({
    environment: { GOOGLE_API_KEY: 'g-one', GOOGLE_API_KEY_2: 'g-two' },
    standin: {
      keys: [
        { key: 'g-one', service: 'google', fault: answersWith(stream) },
        { key: 'g-two', service: 'google' },
      ],
    },
  });

const answersWith = (body: string) =>
  ({ kind: 'raw', status: 200, headers: { 'content-type': 'text/event-stream' }, body }) as const;

describe('characters that end a line only in JavaScript', () => {
  it('are part of the answer', async () => {
    const app = await startWith(piece(LINE_SEPARATORS, LAST));
    const { status, body } = await flow(app.clock, app.chat('Hi'));
    expect([status, body.reply]).toEqual([200, LINE_SEPARATORS]);
    expect(app.standin.calls).toHaveLength(1);
  });

  it('in a message come back in the answer, on one key', async () => {
    const app = await startApp({ environment: { GOOGLE_API_KEY: 'g-one' } });
    const { status, body } = await flow(app.clock, app.chat(LINE_SEPARATORS));
    expect([status, body.reply]).toEqual([200, expect.stringContaining(LINE_SEPARATORS)]);
  });
});

describe('a quota error in the middle of an answer', () => {
  const error = JSON.stringify(DAY_SPENT);
  it.each([
    ['in an event', event(DAY_SPENT)],
    ['in an event as a list', event([DAY_SPENT])],
    ['bare', error],
    ['bare, with a blank line behind it', `${error}${BREAK}`],
    ['bare over many lines', JSON.stringify(DAY_SPENT, null, 2)],
    ['bare as a list, with a blank line behind it', `[${error}]\n\n`],
  ])('parks the key and goes on with another: %s', async (_, spent) => {
    for (const stream of [spent, piece('Once') + spent]) {
      const app = await startWith(stream);
      const { status, body } = await flow(app.clock, app.chat('Hi'));
      expect([status, body.reply]).toEqual([200, 'You said: Hi']);
      expect(await app.counts()).toMatchObject({ available: 1, cooling_down: 1 });
      expect(app.logs.find(({ msg }) => msg === 'attempt')?.outcome).toBe('quota_exhausted');
    }
  });
});

describe('the sources of an answer', () => {
  const grounding = { groundingMetadata: SOURCE };
  it.each([
    ['before its first text', event({ candidates: [grounding] }) + piece('Once', LAST)],
    [
      'and again with its text',
      event({ candidates: [grounding] }) + piece('Once', { ...LAST, ...grounding }),
    ],
    [
      'with its last chunk, which has no text',
      piece('Once') + event({ candidates: [{ ...LAST, ...grounding }] }),
    ],
  ])('are shown once where they come %s', async (_, stream) => {
    const app = await startWith(stream);
    const messages = [{ role: 'user', parts: [{ type: 'text', text: 'Hi' }] }];
    const { text } = await flow(app.clock, app.post('/api/chat', { messages }));
    expect(text.match(/"type":"source-url".*"url":"https:\/\/a\.example\/1"/g)).toHaveLength(1);
  });
});

describe('a finish reason on an early chunk', () => {
  const EVERYWHERE =
    piece('Once', LAST) + piece(' upon', LAST) + piece(' a time', { finishReason: 'MAX_TOKENS' });

  it('does not end the answer, and the last one counts', async () => {
    const app = await startWith(EVERYWHERE);
    const { status, body } = await flow(app.clock, app.chat('Hi'));
    expect([status, body.reply, body.finishReason]).toEqual([200, 'Once upon a time', 'length']);
    expect(app.standin.calls).toHaveLength(1);
  });

  it('does not end a stream', async () => {
    const app = await startWith(EVERYWHERE);
    const { text } = await flow(app.clock, app.chat('Hi', { stream: true }));
    const deltas = [...text.matchAll(/data: (\{"text".*\})/g)].map(([, json]) =>
      JSON.parse(json ?? ''),
    );
    expect(deltas.map((delta) => delta.text).join('')).toBe('Once upon a time');
    expect(text.match(/event: done/g)).toHaveLength(1);
    expect(text).toContain('"finishReason":"length"');
  });

  it('does not end an answer that goes on without another', async () => {
    const app = await startWith(piece('Once', LAST) + piece(' upon') + piece(' a time'));
    const { status, body } = await flow(app.clock, app.chat('Hi'));
    expect([status, body.reply, body.finishReason]).toEqual([200, 'Once upon a time', 'stop']);
  });

  it('does not hide an error after more of the answer', async () => {
    const app = await startWith(piece('Once', LAST) + piece(' upon', LAST) + event(DAY_SPENT));
    const { status, body } = await flow(app.clock, app.chat('Hi'));
    expect([status, body.reply]).toEqual([200, 'You said: Hi']);
  });

  it.each([false, true])('ends the answer after 30 s of silence (stream: %s)', async (stream) => {
    const app = await startApp({
      environment: { GOOGLE_API_KEY: 'g-one' },
      standin: {
        answer: { chunks: 2, text: 'Once upon' },
        keys: [{ key: 'g-one', service: 'google', fault: { kind: 'hang_mid_stream', after: 2 } }],
      },
    });
    const startedAt = app.clock.now();
    const { status, text } = await flow(app.clock, app.chat('Hi', { stream }), 100);
    expect([status, text]).toEqual([200, expect.stringContaining('"finishReason":"stop"')]);
    expect(app.clock.now() - startedAt).toBeGreaterThanOrEqual(30_000);
    expect(app.clock.now() - startedAt).toBeLessThan(32_000);
  });

  it('ends the answer when only an error follows', async () => {
    const app = await startWith(piece('Once') + piece(' upon', LAST) + event(DAY_SPENT));
    const { status, body } = await flow(app.clock, app.chat('Hi'));
    expect([status, body.reply, app.standin.calls.length]).toEqual([200, 'Once upon', 1]);
  });
});

const CONTENTS = {
  'no content': undefined,
  'an empty text': { parts: [{ text: '' }] },
  'a thought alone': { parts: [{ text: 'Hm.', thought: true }] },
  'a call without a name': { parts: [{ functionCall: { name: null } }] },
};
const USAGE = { promptTokenCount: 3, thoughtsTokenCount: 4, totalTokenCount: 7 };
const ending = (finishReason: string, content?: object) =>
  event({ candidates: [{ content, finishReason }], usageMetadata: USAGE });
const EMPTY = ending('STOP');

describe('an unusable answer', () => {
  const untouched = (total: number) => ({ total, available: total, cooling_down: 0, exhausted: 0 });
  const startWithKeys = (...streams: (string | null)[]) => {
    const names = streams.map((_, index) => `GOOGLE_API_KEY_${index + 1}`);
    return startApp({
      environment: Object.fromEntries(names.map((name, index) => [name, `g-${index}`])),
      standin: {
        keys: streams.map((stream, index) => ({
          ...{ key: `g-${index}`, service: 'google' as const },
          ...(stream === null ? {} : { fault: answersWith(stream) }),
        })),
      },
    });
  };

  it.each<[string, string]>([
    ...Object.entries(CONTENTS).map(([what, content]): [string, string] => [
      `STOP, and ${what}`,
      ending('STOP', content),
    ]),
    ['STOP on each of its chunks', piece('', LAST) + EMPTY],
    ...[
      'MALFORMED_FUNCTION_CALL',
      'UNEXPECTED_TOOL_CALL',
      'TOO_MANY_TOOL_CALLS',
      'MISSING_THOUGHT_SIGNATURE',
      'MALFORMED_RESPONSE',
    ].map((reason): [string, string] => [reason, ending(reason)]),
  ])('is tried once more with another key, and harms none: %s', async (_, stream) => {
    const app = await startWithKeys(stream, null);
    for (let turn = 0; turn < 4; turn += 1) {
      const { status, text } = await flow(app.clock, app.chat('Hi', { stream: turn % 2 === 1 }));
      expect([status, text]).toEqual([200, expect.stringContaining('"finishReason":"stop"')]);
      expect(text).not.toContain('I have no answer');
    }
    expect(app.logs.find(({ msg }) => msg === 'attempt')).toMatchObject({
      key: 'google-1',
      outcome: 'unusable_answer',
      tokens: 7,
    });
    // With a success of its sibling between, two upstream failures would eject a key.
    expect(await app.counts()).toEqual(untouched(2));
  });

  const AS_IT_IS = {
    finishReason: 'other',
    usage: { inputTokens: 3, outputTokens: 4, totalTokens: 7 },
  };

  it.each<[string, (string | null)[]]>([
    ['the second one is too', [EMPTY, EMPTY, null]],
    ['there is no other key', [EMPTY]],
    ['every other key is spent, although it returns soon', [EMPTY, event(MINUTE_SPENT)]],
    ['the next one cannot be asked from here', [EMPTY, event(OF_ANOTHER_REGION), null]],
  ])('is answered as it is where %s', async (_, streams) => {
    for (const stream of [false, true]) {
      const app = await startWithKeys(...streams);
      const startedAt = app.clock.now();
      const { status, text } = await flow(app.clock, app.chat('Hi', { stream }));
      const [said, end] = stream
        ? eventsIn(text).map(({ data }) => data)
        : [{ text: JSON.parse(text).reply }, JSON.parse(text)];
      expect([status, said.text]).toEqual([200, expect.stringMatching(/^I have no answer/)]);
      expect(end).toMatchObject(AS_IT_IS);
      expect(app.standin.calls).toHaveLength(Math.min(2, streams.length));
      expect(app.clock.now() - startedAt).toBeLessThan(1000);
    }
  });

  it('is answered as it is where the other one breaks off before a whole answer', async () => {
    const app = await startWithKeys(EMPTY, piece('Once'));
    const { status, body } = await flow(app.clock, app.chat('Hi'));
    expect([status, body.reply]).toEqual([200, expect.stringMatching(/^I have no answer/)]);
    expect(body).toMatchObject(AS_IT_IS);
    expect(app.logs.find(({ msg }) => msg === 'request')).toMatchObject({
      status: 200,
      attempts: 2,
    });
  });

  it('goes on past a spent key to one that answers', async () => {
    const app = await startWithKeys(EMPTY, event(DAY_SPENT), null);
    const { status, body } = await flow(app.clock, app.chat('Hi'));
    expect([status, body.reply, body.finishReason]).toEqual([200, 'You said: Hi', 'stop']);
  });

  it('has a finish reason that did not end it', async () => {
    const app = await startWithKeys(piece('', LAST) + piece('Hello'), null);
    const { body } = await flow(app.clock, app.chat('Hi'));
    expect([body.reply, body.finishReason, app.standin.calls.length]).toEqual(['Hello', 'stop', 1]);
  });

  it('that turns out to be a refusal parks its key', async () => {
    const app = await startWithKeys(EMPTY + event(DAY_SPENT), null);
    const { body } = await flow(app.clock, app.chat('Hi'));
    expect(body.reply).toBe('You said: Hi');
    expect(await app.counts()).toMatchObject({ available: 1, cooling_down: 1 });
  });
});

describe('invalid values in a chunk', () => {
  const counts = { promptTokenCount: null, candidatesTokenCount: null, totalTokenCount: null };
  it.each<[string, string, Record<string, unknown>]>([
    [
      'null for a count of tokens',
      event({
        candidates: [{ content: { parts: [{ text: 'Hello' }] }, ...LAST }],
        usageMetadata: counts,
      }),
      { usage: { inputTokens: 0, outputTokens: 0, totalTokens: 0 } },
    ],
    [
      'an empty reason to block',
      event({
        promptFeedback: { blockReason: '' },
        candidates: [{ content: { parts: [{ text: 'Hello' }] }, ...LAST }],
      }),
      { finishReason: 'stop' },
    ],
    [
      'an object for the parts',
      event({ candidates: [{ content: { parts: {} } }] }) + piece('Hello', LAST),
      { finishReason: 'stop' },
    ],
    [
      'a text for the candidates',
      event({ candidates: 'none' }) + piece('Hello', LAST),
      { finishReason: 'stop' },
    ],
    [
      'an empty reason to end',
      piece('Hel', { finishReason: '' }) + piece('lo', LAST),
      { finishReason: 'stop' },
    ],
  ])('are ignored: %s', async (_, stream, expected) => {
    const app = await startWith(stream);
    const { status, body } = await flow(app.clock, app.chat('Hi'));
    expect(status).toBe(200);
    expect(body).toMatchObject({ reply: 'Hello', ...expected });
    expect(app.standin.calls).toHaveLength(1);
  });
});
