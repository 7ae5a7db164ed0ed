import { createGoogleGenerativeAI } from '@ai-sdk/google';
import { GoogleGenAI } from '@google/genai';
import { GoogleGenerativeAI } from '@google/generative-ai';
import { HumanMessage, ToolMessage } from '@langchain/core/messages';
import { ChatGoogleGenerativeAI } from '@langchain/google-genai';
import { generateText, streamText } from 'ai';
import { describe, expect, it } from 'vitest';
import { CLIENT_TOKEN, MODEL, startForPrograms, WORDS } from '../../support/programs.ts';
import type { App } from '../../support/start-app.ts';
import { whileTimePasses } from '../../support/while-time-passes.ts';

interface Client {
  whole(app: App, prompt: string): Promise<string>;
  streamed(app: App, prompt: string): Promise<string>;
}

const genai = ({ url }: App) =>
  new GoogleGenAI({ apiKey: CLIENT_TOKEN, httpOptions: { baseUrl: url } });
const legacy = ({ url }: App) =>
  new GoogleGenerativeAI(CLIENT_TOKEN).getGenerativeModel({ model: MODEL }, { baseUrl: url });
const langchain = ({ url }: App) =>
  new ChatGoogleGenerativeAI({
    model: MODEL,
    apiKey: CLIENT_TOKEN,
    baseUrl: url,
    maxRetries: 0,
  });
const aiSdk = ({ url }: App) =>
  createGoogleGenerativeAI({ apiKey: CLIENT_TOKEN, baseURL: `${url}/v1beta` })(MODEL);

const CLIENTS: readonly [string, Client][] = [
  [
    '@google/genai',
    {
      async whole(app, contents) {
        const answer = await genai(app).models.generateContent({ model: MODEL, contents });
        return answer.text ?? '';
      },
      async streamed(app, contents) {
        let text = '';
        const stream = await genai(app).models.generateContentStream({ model: MODEL, contents });
        for await (const chunk of stream) text += chunk.text ?? '';
        return text;
      },
    },
  ],
  [
    '@google/generative-ai',
    {
      async whole(app, prompt) {
        return (await legacy(app).generateContent(prompt)).response.text();
      },
      async streamed(app, prompt) {
        let text = '';
        const { stream, response } = await legacy(app).generateContentStream(prompt);
        response.catch(() => {});
        for await (const chunk of stream) text += chunk.text();
        return text;
      },
    },
  ],
  [
    '@ai-sdk/google',
    {
      async whole(app, prompt) {
        return (await generateText({ model: aiSdk(app), prompt, maxRetries: 0 })).text;
      },
      async streamed(app, prompt) {
        let text = '';
        const { fullStream } = streamText({
          model: aiSdk(app),
          prompt,
          maxRetries: 0,
          onError() {},
        });
        for await (const part of fullStream) {
          if (part.type === 'error') throw part.error;
          if (part.type === 'text-delta') text += part.text;
        }
        return text;
      },
    },
  ],
];

describe.each(CLIENTS)('%s', (_name, client) => {
  it.each(['whole', 'streamed'] as const)('gets its answer (%s) after a failover', async (way) => {
    const app = await startForPrograms({ kind: 'day_spent' });
    const texts = [
      await whileTimePasses(app.clock, client[way](app, 'Hi')),
      await whileTimePasses(app.clock, client[way](app, 'Hi')),
    ];
    expect(texts).toEqual([WORDS, WORDS]);
    expect(app.standin.callsOf('g-one')).toBe(1);
    expect(await app.counts()).toMatchObject({ available: 1, cooling_down: 1 });
  });

  it('throws when a stream is interrupted', async () => {
    const app = await startForPrograms(
      { kind: 'cut_mid_stream' },
      { chunks: 3, text: WORDS, chunkMs: 10 },
    );
    await expect(whileTimePasses(app.clock, client.streamed(app, 'Hi'))).rejects.toThrow();
    expect(app.standin.calls).toHaveLength(1);
  });

  it('waits for a stream whose first words are late, and throws when none come', async () => {
    const app = await startForPrograms({ kind: 'hang' });
    expect(await whileTimePasses(app.clock, client.streamed(app, 'Hi'), 1000)).toBe(WORDS);
    expect(app.standin.calls.map(({ key }) => key)).toEqual(['g-one', 'g-two']);
    app.standin.setFault('g-two', { kind: 'hang' });
    const failing = whileTimePasses(app.clock, client.streamed(app, 'Hi'), 1000);
    await expect(failing).rejects.toThrow(/in time|reading from the stream/);
    expect(app.standin.calls).toHaveLength(4);
  });

  it('throws its own error when no key is available', async () => {
    const app = await startForPrograms({ kind: 'day_spent' });
    app.standin.setFault('g-two', { kind: 'leaked' });
    await expect(whileTimePasses(app.clock, client.whole(app, 'Hi'))).rejects.toThrow(
      /high demand/,
    );
    await expect(whileTimePasses(app.clock, client.streamed(app, 'Hi'))).rejects.toThrow(
      /high demand/,
    );
  });
});

describe('the current client', () => {
  it('counts tokens although every quota of the model is used up', async () => {
    const app = await startForPrograms();
    app.standin.setFault('g-one', { kind: 'day_spent' });
    app.standin.setFault('g-two', { kind: 'day_spent' });
    await whileTimePasses(
      app.clock,
      CLIENTS[0]?.[1].whole(app, 'Hi').catch(() => {}) ?? Promise.resolve(),
    );
    app.standin.setFault('g-one', null);
    app.standin.setFault('g-two', null);
    const counted = genai(app).models.countTokens({ model: MODEL, contents: 'Hello there' });
    expect(await whileTimePasses(app.clock, counted)).toMatchObject({ totalTokens: 3 });
    expect(await app.counts()).toMatchObject({ available: 0, cooling_down: 2 });
  });

  it('lists the models, and reads one', async () => {
    const app = await startForPrograms();
    const names: (string | undefined)[] = [];
    for await (const { name } of await genai(app).models.list()) names.push(name);
    expect(names).toContain(`models/${MODEL}`);
    expect((await genai(app).models.get({ model: MODEL })).name).toBe(`models/${MODEL}`);
  });

  it('calls functions over several turns of a chat', async () => {
    const app = await startForPrograms(null, {
      functionCalls: [{ name: 'weather', args: { city: 'Oslo' } }],
    });
    const chat = genai(app).chats.create({
      model: MODEL,
      config: { tools: [{ functionDeclarations: [{ name: 'weather' }] }] },
    });
    const { functionCalls } = await chat.sendMessage({ message: 'Hi' });
    expect(functionCalls).toEqual([{ name: 'weather', args: { city: 'Oslo' } }]);
    const result = { functionResponse: { name: 'weather', response: { degrees: -3 } } };
    expect((await chat.sendMessage({ message: result })).text).toMatch(/^You said/);
  });
});

/** No test of broken streams: the library leaves a rejection of the older client unhandled, which ends the process. */
describe('@langchain/google-genai', () => {
  it('gets its answer, whole and streamed, after a failover', async () => {
    const app = await startForPrograms({ kind: 'day_spent' });
    const whole = await whileTimePasses(app.clock, langchain(app).invoke('Hi'));
    let text = '';
    for await (const chunk of await langchain(app).stream('Hi')) text += chunk.text;
    expect([whole.text, text]).toEqual([WORDS, WORDS]);
    expect(await app.counts()).toMatchObject({ available: 1, cooling_down: 1 });
  });

  it('calls a tool, sends its result, and reads the answer', async () => {
    const app = await startForPrograms(null, {
      functionCalls: [{ name: 'weather', args: { city: 'Oslo' } }],
    });
    const chat = langchain(app).bindTools([
      { name: 'weather', description: 'Of a city.', schema: { type: 'object', properties: {} } },
    ]);
    const question = new HumanMessage('Hi');
    const asked = await chat.invoke([question]);
    expect(asked.tool_calls).toMatchObject([{ name: 'weather', args: { city: 'Oslo' } }]);
    const [{ id = '' } = {}] = asked.tool_calls ?? [];
    const result = new ToolMessage({
      tool_call_id: id,
      name: 'weather',
      content: '{"degrees":-3}',
    });
    expect((await chat.invoke([question, asked, result])).text).toMatch(/^You said/);
  });
});
