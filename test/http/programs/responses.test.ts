import { createOpenAI } from '@ai-sdk/openai';
import { generateText, jsonSchema, type ModelMessage, stepCountIs, streamText, tool } from 'ai';
import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import type { Fault } from '../../../standin/fault.ts';
import type { AnswerShape } from '../../../standin/standin-key.ts';
import {
  CLIENT_TOKEN,
  MODEL,
  shareForPrograms,
  startForPrograms,
  UNTOUCHED,
  WORDS,
} from '../../support/programs.ts';
import { type App, flow } from '../../support/start-app.ts';
import { whileTimePasses } from '../../support/while-time-passes.ts';

const shared = shareForPrograms();
const BEARER = { authorization: `Bearer ${CLIENT_TOKEN}` };
const PIXEL =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
const SIGNATURE = Buffer.from('a thought of the stand-in').toString('base64');
const WEATHER = {
  type: 'function' as const,
  name: 'weather',
  strict: true,
  parameters: { type: 'object', properties: { city: { type: 'string' } } },
};
const CALLS = { functionCalls: [{ name: 'weather', args: { city: 'Oslo' } }] };

const clientOf = (app: App) =>
  new OpenAI({ baseURL: `${app.url}/v1`, apiKey: CLIENT_TOKEN, maxRetries: 0 });

const start = (answer: AnswerShape, fault: Fault | null = null) => startForPrograms(fault, answer);

const post = (app: App, body: unknown) => app.post('/v1/responses', body, BEARER);

const sentBy = (app: App) => app.standin.calls.at(-1)?.body;

describe('the official OpenAI client with responses', () => {
  it('gets a whole response after a failover, which repeats what was asked for', async () => {
    const app = await startForPrograms({ kind: 'day_spent' });
    const asked = clientOf(app).responses.create({
      model: MODEL,
      instructions: 'Be brief.',
      input: 'Hi',
      max_output_tokens: 50,
      reasoning: { effort: 'low' },
    });
    const response = await whileTimePasses(app.clock, asked);
    expect(response).toMatchObject({
      id: expect.stringMatching(/^resp_/),
      object: 'response',
      status: 'completed',
      model: MODEL,
      instructions: 'Be brief.',
      max_output_tokens: 50,
      store: false,
      output: [{ type: 'message', role: 'assistant', status: 'completed' }],
      output_text: WORDS,
      usage: {
        input_tokens: 3,
        input_tokens_details: { cached_tokens: 0 },
        output_tokens: 4,
        output_tokens_details: { reasoning_tokens: 0 },
        total_tokens: 7,
      },
    });
    expect(sentBy(app)).toMatchObject({
      systemInstruction: { parts: [{ text: 'Be brief.' }] },
      generationConfig: { maxOutputTokens: 50, thinkingConfig: { thinkingBudget: 1024 } },
    });
  });

  it('gets thoughts, text, sources, an image and the cached tokens, whole and as events alike', async () => {
    const app = await start({
      chunks: 2,
      text: WORDS,
      thoughts: 'Let me see.',
      image: { mimeType: 'image/png', data: PIXEL },
      sources: [{ uri: 'https://example.org/', title: 'Example' }],
      cachedTokens: 1,
    });
    const asked = {
      model: MODEL,
      input: 'Hi',
      reasoning: { summary: 'auto' as const },
      tools: [{ type: 'web_search' as const }],
    };
    const whole = await whileTimePasses(app.clock, clientOf(app).responses.create(asked));
    const stream = clientOf(app).responses.stream(asked);
    const seen: string[] = [];
    stream.on('event', ({ type }) => void seen.push(type));
    const streamed = await whileTimePasses(app.clock, stream.finalResponse());
    for (const response of [whole, streamed]) {
      expect(response.output).toMatchObject([
        { type: 'reasoning', summary: [{ type: 'summary_text', text: 'Let me see.' }] },
        { type: 'message', content: [{ type: 'output_text', text: WORDS }] },
        { type: 'image_generation_call', status: 'completed', result: PIXEL },
      ]);
      expect(response.usage).toMatchObject({
        input_tokens_details: { cached_tokens: 1 },
        output_tokens_details: { reasoning_tokens: 3 },
      });
    }
    expect(seen).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.reasoning_summary_part.added',
      'response.reasoning_summary_text.delta',
      'response.reasoning_summary_text.delta',
      'response.reasoning_summary_text.done',
      'response.reasoning_summary_part.done',
      'response.output_item.done',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.delta',
      'response.output_text.delta',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.output_item.added',
      'response.output_item.done',
      'response.completed',
    ]);
  });

  it('gets a sentence in place of a generated sound, which has no item', async () => {
    const app = await start({ text: WORDS, image: { mimeType: 'audio/wav', data: 'UklGRg==' } });
    const { output } = await whileTimePasses(
      app.clock,
      clientOf(app).responses.create({ model: MODEL, input: 'Hi' }),
    );
    const text = expect.stringMatching(/A sound was generated/);
    expect(output).toMatchObject([{ type: 'message', content: [{ type: 'output_text', text }] }]);
  });

  it('cites the sources of a text', async () => {
    const sources = [{ uri: 'https://example.org/' }, { uri: 'https://example.com/', title: 'B' }];
    const app = await start({ chunks: 1, text: WORDS, sources });
    const response = await clientOf(app).responses.create({
      model: MODEL,
      input: 'Hi',
      tools: [{ type: 'web_search' }],
    });
    expect(response.output).toMatchObject([
      {
        content: [
          {
            annotations: [
              { type: 'url_citation', url: 'https://example.org/', title: 'https://example.org/' },
              { type: 'url_citation', url: 'https://example.com/', title: 'B' },
            ],
          },
        ],
      },
    ]);
  });

  it('calls a function and goes on with its output and the signature of the call', async () => {
    const app = await start(CALLS);
    const client = clientOf(app);
    const asked = {
      model: MODEL,
      tools: [WEATHER],
      include: ['reasoning.encrypted_content' as const],
    };
    const hi = { role: 'user' as const, content: 'Hi' };
    const first = await client.responses.stream({ ...asked, input: [hi] }).finalResponse();
    const call = first.output.find((item) => item.type === 'function_call');
    expect(call).toMatchObject({ name: 'weather', arguments: '{"city":"Oslo"}' });
    expect([call?.call_id.length, call?.id?.length]).toEqual([37, 35]);
    const second = await client.responses.create({
      ...asked,
      input: [
        hi,
        ...(first.output as OpenAI.Responses.ResponseInputItem[]),
        {
          type: 'function_call_output',
          call_id: call?.call_id ?? '',
          output: [
            { type: 'input_text', text: 'cold' },
            { type: 'input_image', detail: 'auto', image_url: `data:image/png;base64,${PIXEL}` },
          ],
        },
      ],
    });
    expect(second.output_text).toContain('You said');
    expect(sentBy(app)).toMatchObject({
      contents: [
        { role: 'user' },
        {
          role: 'model',
          parts: [{ functionCall: { name: 'weather' }, thoughtSignature: SIGNATURE }],
        },
        {
          role: 'user',
          parts: [
            { functionResponse: { name: 'weather', response: { result: 'cold' } } },
            { inlineData: { mimeType: 'image/png', data: PIXEL } },
          ],
        },
      ],
    });
  });

  it.each(['cut_mid_stream', 'error_mid_stream'] as const)(
    'throws when the stream is interrupted (%s)',
    async (kind) => {
      const app = await start({ chunks: 3, text: WORDS, chunkMs: 10 }, { kind });
      const read = () =>
        clientOf(app).responses.stream({ model: MODEL, input: 'Hi' }).finalResponse();
      await expect(whileTimePasses(app.clock, read(), 100)).rejects.toThrow(/again/);
      app.standin.setFault('g-two', { kind });
      const body = { model: MODEL, input: 'Hi', stream: true };
      const broken = flow(app.clock, post(app, body));
      // Codex shows the message of this event, and no other.
      expect((await broken).text).toMatch(
        /event: response\.failed\ndata: .*"error":\{[^}]*again[^}]*\}.*"status":"failed"/,
      );
    },
  );

  it('sees why a response is incomplete', async () => {
    const app = await start({}, { kind: 'blocked_answer', after: 0 });
    const response = await clientOf(app).responses.create({ model: MODEL, input: 'Hi' });
    expect(response).toMatchObject({
      status: 'incomplete',
      incomplete_details: { reason: 'content_filter' },
      output_text: expect.stringContaining("can't help"),
    });
  });
});

describe("the AI SDK's OpenAI provider with its defaults", () => {
  const modelOf = (app: App) =>
    createOpenAI({ baseURL: `${app.url}/v1`, apiKey: CLIENT_TOKEN })(MODEL);
  const tools = {
    weather: tool({
      inputSchema: jsonSchema<{ city: string }>(WEATHER.parameters as object),
      execute: ({ city }) => `cold in ${city}`,
    }),
  };

  it('gets a stream of text', async () => {
    const { text } = streamText({ model: modelOf(shared()), prompt: 'Hi', maxRetries: 0 });
    expect(await text).toBe(WORDS);
  });

  it('gets an error when the stream is interrupted', async () => {
    const app = await start({ chunks: 3, text: WORDS, chunkMs: 10 }, { kind: 'cut_mid_stream' });
    const errors: unknown[] = [];
    const answer = streamText({
      model: modelOf(app),
      prompt: 'Hi',
      maxRetries: 0,
      onError: ({ error }) => void errors.push(error),
    });
    await whileTimePasses(app.clock, Promise.resolve(answer.consumeStream()), 100);
    expect(JSON.stringify(errors)).toMatch(/again/);
  });

  it('calls a tool and uses its result', async () => {
    const app = await start(CALLS);
    const { text, steps } = await generateText({
      model: modelOf(app),
      prompt: 'Hi',
      tools,
      stopWhen: stepCountIs(3),
      maxRetries: 0,
    });
    expect(steps).toHaveLength(2);
    expect(text).toContain('You said');
    expect(JSON.stringify(sentBy(app))).toContain('cold in Oslo');
  });

  it('gets the name of the option to set for a second turn, because it sends a reference to the first', async () => {
    const model = modelOf(shared());
    const ask = async (messages: ModelMessage[], store: boolean) => {
      const providerOptions = { openai: { store } };
      const answer = generateText({ model, messages, maxRetries: 0, providerOptions });
      return [...messages, ...(await answer).response.messages];
    };
    const hi = { role: 'user' as const, content: 'Hi' };
    const first = await ask([hi], true);
    await expect(ask([...first, hi], true)).rejects.toThrow(/input\.1.*store to false/);
    expect(await ask([...first, hi], false)).toHaveLength(4);
  });
});

describe('a response', () => {
  const HI = { role: 'user', content: 'Hi' };
  const asking = (more: object) => ({ model: MODEL, input: 'Hi', ...more });
  const call = (call_id: string) => ({
    type: 'function_call',
    call_id,
    name: 'weather',
    arguments: '',
  });
  const output = (call_id: string, said: unknown = 'cold') => ({
    type: 'function_call_output',
    call_id,
    output: said,
  });
  const circular = { type: 'object', properties: { a: { $ref: '#/properties/a' } } };

  it.each<[string, unknown, string, RegExp]>([
    [
      'an earlier response',
      asking({ previous_response_id: 'resp_1' }),
      'previous_response_id',
      /whole conversation/,
    ],
    ['a conversation', asking({ conversation: 'conv_1' }), 'conversation', /whole conversation/],
    [
      'a reference',
      asking({ input: [HI, { type: 'item_reference', id: 'm' }] }),
      'input.1.type',
      /store/,
    ],
    ['the background', asking({ background: true }), 'background', /Only false/],
    [
      'log probabilities',
      asking({ include: ['message.output_text.logprobs'] }),
      'include.0',
      /probabilities/,
    ],
    ['an unknown parameter', asking({ best_of: 2 }), 'best_of', /not supported/],
    ['nothing', asking({ input: [] }), 'input', /last item/],
    ['an unknown item', asking({ input: [{ type: 'shell_call' }] }), 'input.0.type', /message/],
    ['another tool', asking({ tools: [{ type: 'code_interpreter' }] }), 'tools.0.type', /function/],
    [
      'an unknown choice',
      asking({ tools: [WEATHER], tool_choice: { type: 'function', name: 'x' } }),
      'tool_choice',
      /no such/,
    ],
    [
      'an image in an instruction',
      asking({
        input: [
          {
            role: 'developer',
            content: [{ type: 'input_image', image_url: 'https://a.example/b' }],
          },
          { role: 'user', content: 'Hi' },
        ],
      }),
      'input.0.content.0.type',
      /input_text/,
    ],
    [
      'a circular schema',
      asking({ tools: [{ ...WEATHER, parameters: circular }] }),
      'tools.0.parameters',
      /refer to itself/,
    ],
    [
      'a file of its own',
      asking({ input: [{ role: 'user', content: [{ type: 'input_image', file_id: 'f' }] }] }),
      'input.0.content.0.file_id',
      /content/,
    ],
    [
      'an output of no call',
      asking({ input: [HI, output('a')] }),
      'input.1.call_id',
      /No function_call/,
    ],
    [
      'a second output',
      asking({ input: [HI, call('a'), output('a'), output('a')] }),
      'input.3.call_id',
      /already has its result/,
    ],
    [
      'a call without output',
      asking({ input: [HI, call('a'), HI] }),
      'input.1.call_id',
      /This call has no result/,
    ],
    [
      'two calls of one id',
      asking({ input: [HI, call('a'), call('a')] }),
      'input.2.call_id',
      /Another call has the same id/,
    ],
  ])('is refused by name with %s', async (_what, asked, param, message) => {
    const app = shared();
    const { status, body: json } = await post(app, asked);
    expect([status, json]).toEqual([
      400,
      { error: expect.objectContaining({ param, message: expect.stringMatching(message) }) },
    ]);
    expect(await app.counts()).toEqual(UNTOUCHED);
  });

  it('takes the items of an agent: parallel calls, outputs in any order, text before calls', async () => {
    const app = shared();
    const text = [{ type: 'output_text', text: 'Wait.', annotations: [] }];
    const { status } = await post(
      app,
      asking({
        input: [
          { role: 'developer', content: 'Be kind.' },
          { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Hi' }] },
          { type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: null },
          { type: 'message', role: 'assistant', content: text, id: 'msg_1', status: 'completed' },
          call('a'),
          call('b'),
          output('b', '{"$ref":1}'),
          output('a', '{"sky":"blue"}'),
          {
            role: 'user',
            content: [{ type: 'input_image', image_url: 'https://example.org/a.png' }],
          },
        ],
        tools: [WEATHER, { type: 'function', name: 'b/2', parameters: {} }],
        tool_choice: {
          type: 'allowed_tools',
          mode: 'required',
          tools: [{ type: 'function', name: 'b/2' }],
        },
        text: {
          format: { type: 'json_schema', name: 'x', schema: { type: 'object' } },
          verbosity: 'low',
        },
        store: false,
        parallel_tool_calls: false,
        prompt_cache_key: 'k',
        truncation: 'auto',
      }),
    );
    expect(status).toBe(200);
    expect(sentBy(app)).toMatchObject({
      systemInstruction: { parts: [{ text: 'Be kind.' }] },
      contents: [
        { role: 'user', parts: [{ text: 'Hi' }] },
        {
          role: 'model',
          parts: [
            { text: 'Wait.' },
            { functionCall: { name: 'weather', args: {} } },
            { functionCall: { name: 'weather', args: {} } },
          ],
        },
        {
          role: 'user',
          parts: [
            { functionResponse: { response: { sky: 'blue' } } },
            { functionResponse: { response: { result: '{"$ref":1}' } } },
          ],
        },
        { role: 'user', parts: [{ fileData: { fileUri: 'https://example.org/a.png' } }] },
      ],
      tools: [{ functionDeclarations: [{ name: expect.stringMatching(/^_b_2_/) }] }],
      toolConfig: { functionCallingConfig: { mode: 'ANY' } },
      generationConfig: { responseMimeType: 'application/json' },
    });
  });

  it('returns a call of a function in a namespace by its declared name, and accepts it in the next request', async () => {
    const app = await start({ functionCalls: [{ name: 'agents.close', args: {} }] });
    const declared = { type: 'namespace', name: 'agents', tools: [{ ...WEATHER, name: 'close' }] };
    const tools = [declared, { type: 'web_search', external_web_access: true }];
    const called = await post(app, asking({ tools }));
    const [item] = called.body.output;
    expect(item).toMatchObject({ type: 'function_call', namespace: 'agents', name: 'close' });
    // Search is left out beside functions.
    expect(sentBy(app)).toMatchObject({
      tools: [{ functionDeclarations: [{ name: 'agents.close' }] }],
    });
    const input = [HI, item, output(item.call_id)];
    expect((await post(app, asking({ tools, input }))).status).toBe(200);
    expect(JSON.stringify(sentBy(app))).toContain('"functionCall":{"name":"agents.close"');
  });

  it('is answered under the address of Google too, and only with a token', async () => {
    const app = shared();
    const body = asking({});
    expect((await app.post('/v1beta/openai/responses', body, BEARER)).status).toBe(200);
    const { status, body: json } = await app.post('/v1/responses', body);
    expect([status, json]).toMatchObject([401, { error: { code: 'invalid_api_key' } }]);
  });
});
