import { describe, expect, it } from 'vitest';
import { flow, startApp } from '../support/start-app.ts';

const ONE_KEY = { GOOGLE_API_KEY: 'g-one' };
const TEXT = 'text/plain; charset=utf-8';

describe("the language model of Anam's example", () => {
  it('reads the turns of user and persona, and answers in plain text', async () => {
    const app = await startApp({
      environment: { ...ONE_KEY, SYSTEM_PROMPT: 'Be kind.' },
      standin: { answer: { chunks: 3, text: 'one two three' } },
    });
    const messages = [
      { role: 'user', content: 'Hi', id: '1' },
      { role: 'persona', content: 'Hello!', interrupted: false },
      { role: 'persona', content: '' },
      { role: 'user', content: 'Who are you?' },
    ];
    const { status, headers, text } = await app.post('/api/chat', { messages });
    expect([status, headers.get('content-type'), text]).toEqual([200, TEXT, 'one two three']);
    expect(app.standin.calls.at(-1)?.body).toMatchObject({
      systemInstruction: { parts: [{ text: 'Be kind.' }] },
      contents: [
        { role: 'user', parts: [{ text: 'Hi' }] },
        { role: 'model', parts: [{ text: 'Hello!' }] },
        { role: 'user', parts: [{ text: 'Who are you?' }] },
      ],
    });
  });

  it('breaks the connection when the answer is interrupted', async () => {
    const app = await startApp({ environment: ONE_KEY });
    app.standin.setFault('g-one', { kind: 'error_mid_stream' });
    const response = await fetch(`${app.url}/api/chat`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ messages: [{ role: 'user', content: 'Hi' }] }),
    });
    await expect(response.text()).rejects.toThrow('terminated');
    app.standin.setFault('g-one', null);
    expect((await app.chat('Still there?')).status).toBe(200);
  });

  it('refuses with a sentence and a retry-after when no key is available', async () => {
    const app = await startApp({ environment: ONE_KEY });
    app.standin.setFault('g-one', { kind: 'day_spent' });
    const asked = app.post('/api/chat', { messages: [{ role: 'user', content: 'Hi' }] });
    const { status, headers, text } = await flow(app.clock, asked);
    expect([status, headers.get('content-type'), headers.get('retry-after')]).toEqual([
      503,
      TEXT,
      '3600',
    ]);
    expect(text).toBe("I'm experiencing high demand right now. Please try again in a few minutes.");
  });

  it.each<[string, unknown, RegExp, object?]>([
    ['no message at all', [], /^messages: The last message/],
    [
      'the persona as the last to speak',
      [{ role: 'persona', content: 'Hi' }],
      /^messages: The last/,
    ],
    ['an empty last message', [{ role: 'user', content: ' ' }], /^messages: The last/],
    [
      'an unknown role',
      [{ role: 'system', content: 'Hi' }],
      /^messages\.0\.role: Must be user, persona or assistant: .*Anam's form/,
    ],
    ['a message that is no text', [{ role: 'user', content: 7 }], /^messages\.0\.content: /],
    ['a message that is no object', [7], /^messages\.0: /],
    [
      'a field that is not heeded',
      [{ role: 'user', content: 'Hi' }],
      /^temperature: This field is unknown\.$/,
      { temperature: 1 },
    ],
  ])('refuses %s without a call to the provider', async (_, messages, sentence, more = {}) => {
    const app = await startApp({ environment: ONE_KEY });
    const { status, headers, text } = await app.post('/api/chat', { messages, ...more });
    expect([status, headers.get('content-type')]).toEqual([400, TEXT]);
    expect(text).toMatch(sentence);
    expect(app.standin.calls).toEqual([]);
  });
});
