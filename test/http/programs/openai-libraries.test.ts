import { createOpenAI } from '@ai-sdk/openai';
import { AIMessage, HumanMessage, ToolMessage } from '@langchain/core/messages';
import { tool as langchainTool } from '@langchain/core/tools';
import { ChatOpenAI } from '@langchain/openai';
import { generateText, stepCountIs, streamText, tool } from 'ai';
import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { Fault } from '../../../standin/standin.ts';
import type { AnswerShape } from '../../../standin/standin-key.ts';
import { CLIENT_TOKEN, MODEL, startForPrograms, WORDS } from '../../support/programs.ts';
import type { App } from '../../support/start-app.ts';
import { whileTimePasses } from '../../support/while-time-passes.ts';

const CALLS: AnswerShape = { functionCalls: [{ name: 'weather', args: { city: 'Oslo' } }] };
const CITY = z.object({ city: z.string().describe('Where.') });
const PHOTO = Buffer.from('iVBORw0KGgo=', 'base64');

const start = (answer: AnswerShape = { chunks: 3, text: WORDS }, fault: Fault | null = null) =>
  startForPrograms(fault, answer);

/** What Google got last. */
const sentBy = (app: App) => app.standin.calls.at(-1)?.body;

describe('the tool runner of the official client', () => {
  it.each([false, true])('calls the tool and reads the answer (streamed: %s)', async (stream) => {
    const app = await start(CALLS);
    const client = new OpenAI({ baseURL: `${app.url}/v1`, apiKey: CLIENT_TOKEN, maxRetries: 0 });
    const cities: string[] = [];
    const terms = {
      model: MODEL,
      messages: [{ role: 'user' as const, content: 'Hi' }],
      tools: [
        {
          type: 'function' as const,
          function: {
            name: 'weather',
            description: 'The weather of a city.',
            parameters: { type: 'object', properties: { city: { type: 'string' } } },
            parse: (json: string) => CITY.parse(JSON.parse(json)),
            function: ({ city }: z.output<typeof CITY>) => {
              cities.push(city);
              return { degrees: -3 };
            },
          },
        },
      ] as const,
    };
    const { completions } = client.chat;
    const runner = stream
      ? completions.runTools({ ...terms, tools: [...terms.tools], stream: true })
      : completions.runTools({ ...terms, tools: [...terms.tools] });
    expect(await runner.finalContent()).toMatch(/./);
    expect(cities).toEqual(['Oslo']);
    expect(sentBy(app)).toMatchObject({
      contents: [
        { role: 'user' },
        { parts: [{ functionCall: { name: 'weather' }, thoughtSignature: expect.any(String) }] },
        { parts: [{ functionResponse: { response: { degrees: -3 } } }] },
      ],
    });
  });
});

describe('@langchain/openai', () => {
  const chatOf = (app: App, more = {}) =>
    new ChatOpenAI({
      model: MODEL,
      apiKey: CLIENT_TOKEN,
      maxRetries: 0,
      configuration: { baseURL: `${app.url}/v1` },
      ...more,
    });
  const weather = langchainTool(({ city }) => `cold in ${city}`, {
    name: 'weather',
    description: 'The weather of a city.',
    schema: CITY,
  });

  it('gets its answer, whole and streamed, after a failover', async () => {
    const app = await start(undefined, { kind: 'day_spent' });
    const whole = await whileTimePasses(app.clock, chatOf(app).invoke('Hi'));
    expect(whole.text).toBe(WORDS);
    expect(whole.usage_metadata).toMatchObject({ input_tokens: 1, total_tokens: 5 });
    let text = '';
    for await (const chunk of await chatOf(app).stream('Hi')) text += chunk.text;
    expect(text).toBe(WORDS);
  });

  it('calls a tool, with an image in its result, and reads the answer', async () => {
    const app = await start(CALLS);
    const chat = chatOf(app).bindTools([weather], { tool_choice: 'any' });
    const messages = [new HumanMessage('Hi')];
    const asked = await chat.invoke(messages);
    expect(asked.tool_calls).toMatchObject([{ name: 'weather', args: { city: 'Oslo' } }]);
    const result = new ToolMessage({
      tool_call_id: asked.tool_calls?.[0]?.id ?? '',
      content: [
        { type: 'text', text: 'cold' },
        {
          type: 'image_url',
          image_url: { url: `data:image/png;base64,${PHOTO.toString('base64')}` },
        },
      ],
    });
    const answer = await chat.invoke([...messages, asked, result]);
    expect(answer.text).toMatch(/./);
    expect(sentBy(app)).toMatchObject({
      contents: [
        {},
        {},
        {
          parts: [
            { functionResponse: { response: { result: 'cold' } } },
            { inlineData: { mimeType: 'image/png' } },
          ],
        },
      ],
    });
  });

  it('streams a call, reads thoughts, and gets structured output', async () => {
    const app = await start({ ...CALLS, thoughts: 'Let me think.' });
    const calls: unknown[] = [];
    for await (const chunk of await chatOf(app).bindTools([weather]).stream('Hi')) {
      calls.push(...(chunk.tool_call_chunks ?? []));
    }
    expect(calls).toMatchObject([{ name: 'weather', args: '{"city":"Oslo"}', index: 0 }]);
    const thinking = chatOf(app, { modelKwargs: { reasoning: { effort: 'low' } } });
    const thought = await thinking.invoke('Hi');
    expect(thought.additional_kwargs.reasoning_content).toBe('Let me think.');
    expect(thought.usage_metadata).toMatchObject({
      output_token_details: { reasoning: expect.any(Number) },
    });
    const structured = await start({ text: '{"city":"Oslo"}' });
    const read = chatOf(structured).withStructuredOutput(CITY, { method: 'jsonSchema' });
    expect(await read.invoke('Hi')).toEqual({ city: 'Oslo' });
  });

  it('sends a history of its own messages', async () => {
    const app = await start();
    const history = [
      new HumanMessage({
        content: [
          { type: 'text', text: 'Look' },
          { type: 'image_url', image_url: { url: 'https://a.example/b.png' } },
        ],
      }),
      new AIMessage('I see.'),
      new HumanMessage('And?'),
    ];
    expect((await chatOf(app).invoke(history)).text).toBe(WORDS);
    expect(sentBy(app)).toMatchObject({
      contents: [
        { parts: [{ text: 'Look' }, { fileData: { fileUri: 'https://a.example/b.png' } }] },
        { role: 'model', parts: [{ text: 'I see.' }] },
        {},
      ],
    });
  });
});

describe('@ai-sdk/openai with its chat model', () => {
  const modelOf = ({ url }: App) =>
    createOpenAI({ baseURL: `${url}/v1`, apiKey: CLIENT_TOKEN }).chat(MODEL);
  const weather = tool({
    description: 'The weather of a city.',
    inputSchema: CITY,
    execute: async ({ city }) => ({ city, degrees: -3 }),
  });

  it('gets its answer, whole and streamed, after a failover', async () => {
    const app = await start(undefined, { kind: 'day_spent' });
    const asked = { model: modelOf(app), prompt: 'Hi', maxRetries: 0 };
    const whole = await whileTimePasses(app.clock, generateText(asked));
    expect(whole).toMatchObject({ text: WORDS, finishReason: 'stop' });
    expect(await streamText(asked).text).toBe(WORDS);
  });

  it.each([false, true])('calls a tool in a loop (streamed: %s)', async (stream) => {
    const app = await start(CALLS);
    const asked = {
      model: modelOf(app),
      messages: [
        {
          role: 'user' as const,
          content: [
            { type: 'text' as const, text: 'Hi' },
            { type: 'image' as const, image: PHOTO },
            { type: 'file' as const, data: PHOTO, mediaType: 'application/pdf' },
          ],
        },
      ],
      tools: { weather },
      stopWhen: stepCountIs(3),
      maxRetries: 0,
    };
    const text = stream ? await streamText(asked).text : (await generateText(asked)).text;
    expect(text).toMatch(/./);
    expect(sentBy(app)).toMatchObject({
      contents: [
        {
          parts: [
            { text: 'Hi' },
            { inlineData: { mimeType: 'image/png' } },
            { inlineData: { mimeType: 'application/pdf' } },
          ],
        },
        { role: 'model' },
        { parts: [{ functionResponse: { response: { city: 'Oslo', degrees: -3 } } }] },
      ],
    });
  });

  it('has the pages of a search as sources', async () => {
    const sources = [{ uri: 'https://a.example/1', title: 'One' }];
    const app = await start({ text: WORDS, sources });
    const searching = createOpenAI({
      baseURL: `${app.url}/v1`,
      apiKey: CLIENT_TOKEN,
      fetch: (url, init) => {
        const body = { ...JSON.parse(String(init?.body)), web_search_options: {} };
        return fetch(url, { ...init, body: JSON.stringify(body) });
      },
    }).chat(MODEL);
    const expected = [{ sourceType: 'url', url: 'https://a.example/1', title: 'One' }];
    const asked = { model: searching, prompt: 'Hi', maxRetries: 0 };
    expect((await generateText(asked)).sources).toMatchObject(expected);
    expect(await streamText(asked).sources).toMatchObject(expected);
  });
});
