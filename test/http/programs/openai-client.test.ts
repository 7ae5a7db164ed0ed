import OpenAI from 'openai';
import { describe, expect, it, vi } from 'vitest';
import { CLIENT_TOKEN, MODEL, startForPrograms, WORDS } from '../../support/programs.ts';
import { type App, startApp } from '../../support/start-app.ts';
import { whileTimePasses } from '../../support/while-time-passes.ts';

const HI = [{ role: 'user' as const, content: 'Hi' }];
const WEATHER = {
  type: 'function' as const,
  function: {
    name: 'weather',
    description: 'The weather of a city.',
    parameters: {
      type: 'object',
      properties: { city: { type: 'string' } },
      required: ['city'],
      additionalProperties: false,
    },
  },
};

const clientOf = (app: App, more = {}) =>
  new OpenAI({ baseURL: `${app.url}/v1`, apiKey: CLIENT_TOKEN, maxRetries: 0, ...more });

async function textOf(stream: AsyncIterable<OpenAI.ChatCompletionChunk>) {
  let text = '';
  for await (const { choices } of stream) text += choices[0]?.delta.content ?? '';
  return text;
}

describe('the official OpenAI client', () => {
  it('gets a whole answer after a failover', async () => {
    const app = await startForPrograms({ kind: 'day_spent' });
    const asked = clientOf(app).chat.completions.create({ model: MODEL, messages: HI });
    expect(await whileTimePasses(app.clock, asked)).toMatchObject({
      id: expect.stringMatching(/^chatcmpl-/),
      object: 'chat.completion',
      created: Date.UTC(2026, 10, 24, 18) / 1000,
      model: MODEL,
      choices: [
        {
          index: 0,
          finish_reason: 'stop',
          message: { role: 'assistant', content: WORDS, refusal: null },
        },
      ],
      usage: { prompt_tokens: 1, completion_tokens: 4, total_tokens: 5 },
    });
    expect(await app.counts()).toMatchObject({ available: 1, cooling_down: 1 });
  });

  it('gets a stream, with the usage at its end on request', async () => {
    const app = await startForPrograms({ kind: 'day_spent' });
    const read = async () => {
      const chunks: OpenAI.ChatCompletionChunk[] = [];
      const stream = await clientOf(app).chat.completions.create({
        model: MODEL,
        messages: HI,
        stream: true,
        stream_options: { include_usage: true },
      });
      for await (const chunk of stream) chunks.push(chunk);
      return chunks;
    };
    const chunks = await whileTimePasses(app.clock, read());
    expect(chunks[0]?.choices[0]?.delta).toEqual({ role: 'assistant', content: '' });
    expect(chunks.flatMap(({ choices }) => choices[0]?.delta.content ?? []).join('')).toBe(WORDS);
    expect(chunks.at(-2)).toMatchObject({
      choices: [{ delta: {}, finish_reason: 'stop' }],
      usage: null,
    });
    expect(chunks.at(-1)).toMatchObject({
      choices: [],
      usage: { prompt_tokens: 1, completion_tokens: 4, total_tokens: 5 },
    });
  });

  it.each(['cut_mid_stream', 'hang_mid_stream'] as const)(
    'throws when a stream is interrupted (%s)',
    async (kind) => {
      const app = await startForPrograms({ kind }, { chunks: 3, text: WORDS, chunkMs: 10 });
      const read = async () =>
        textOf(
          await clientOf(app).chat.completions.create({ model: MODEL, messages: HI, stream: true }),
        );
      await expect(whileTimePasses(app.clock, read(), 100)).rejects.toThrow(/again/);
    },
  );

  it('waits for a stream whose first words are late, and does not repeat it when none come', async () => {
    const app = await startForPrograms({ kind: 'hang' });
    const client = clientOf(app, { maxRetries: 2 });
    const read = async () =>
      textOf(await client.chat.completions.create({ model: MODEL, messages: HI, stream: true }));
    expect(await whileTimePasses(app.clock, read(), 1000)).toBe(WORDS);
    app.standin.setFault('g-two', { kind: 'hang' });
    await expect(whileTimePasses(app.clock, read(), 1000)).rejects.toThrow(/in time/);
    expect(app.standin.calls).toHaveLength(4);
  });

  it('aborts the call to the provider with its own', async () => {
    const app = await startForPrograms(null, { chunks: 2, text: WORDS, chunkMs: 20_000 });
    const stream = await clientOf(app).chat.completions.create({
      model: MODEL,
      messages: HI,
      stream: true,
    });
    for await (const { choices } of stream) if (choices[0]?.delta.content) break;
    await vi.waitFor(() => expect(app.standin.calls.at(-1)?.aborted).toBe(true));
    await vi.waitFor(() => expect(app.clock.pendingTimers()).toBe(0));
  });

  it('calls a tool, sends its result, and reads the answer', async () => {
    const app = await startForPrograms(null, {
      functionCalls: [
        { name: 'weather', args: { city: 'Oslo' } },
        { name: 'weather', args: { city: 'Rome' } },
      ],
    });
    const client = clientOf(app);
    const terms = { model: MODEL, tools: [WEATHER], tool_choice: 'required' as const };
    const first = await client.chat.completions.create({ ...terms, messages: HI });
    expect(first.choices[0]).toMatchObject({
      finish_reason: 'tool_calls',
      message: { content: null },
    });
    const asked = first.choices[0]?.message;
    const calls = asked?.tool_calls ?? [];
    expect(calls.filter(({ id }) => id.length > 40)).toEqual([]);
    expect(calls.map((call) => (call.type === 'function' ? call.function : call))).toEqual([
      { name: 'weather', arguments: '{"city":"Oslo"}' },
      { name: 'weather', arguments: '{"city":"Rome"}' },
    ]);
    expect(app.standin.calls.at(-1)?.body).toMatchObject({
      tools: [
        {
          functionDeclarations: [
            { name: 'weather', parametersJsonSchema: WEATHER.function.parameters },
          ],
        },
      ],
      toolConfig: { functionCallingConfig: { mode: 'ANY' } },
    });
    if (asked === undefined) throw new Error('no message');
    // Handed in the other way round, and one of them no object.
    const results = [
      { role: 'tool' as const, tool_call_id: calls[1]?.id ?? '', content: 'warm' },
      { role: 'tool' as const, tool_call_id: calls[0]?.id ?? '', content: '{"degrees":-3}' },
    ];
    const second = await client.chat.completions.create({
      ...terms,
      tool_choice: 'auto',
      messages: [...HI, asked, ...results],
    });
    expect(second.choices[0]?.finish_reason).toBe('stop');
    expect(app.standin.calls.at(-1)?.body).toMatchObject({
      contents: [
        { role: 'user' },
        {
          role: 'model',
          parts: [
            { functionCall: { name: 'weather' }, thoughtSignature: expect.stringMatching(/./) },
            { functionCall: { name: 'weather' } },
          ],
        },
        {
          role: 'user',
          parts: [
            { functionResponse: { name: 'weather', response: { degrees: -3 } } },
            { functionResponse: { name: 'weather', response: { result: 'warm' } } },
          ],
        },
      ],
    });
  });

  it('may drop the signature of a call', async () => {
    const app = await startForPrograms();
    const call = {
      id: 'c1',
      type: 'function' as const,
      function: { name: 'weather', arguments: '' },
    };
    const answer = await clientOf(app).chat.completions.create({
      model: MODEL,
      tools: [WEATHER],
      messages: [
        ...HI,
        { role: 'assistant', tool_calls: [call] },
        { role: 'tool', tool_call_id: 'c1', content: 'cold' },
      ],
    });
    expect(answer.choices[0]?.finish_reason).toBe('stop');
  });

  it('streams tool calls, each with its index', async () => {
    const app = await startForPrograms(null, {
      functionCalls: [
        { name: 'weather', args: { city: 'Oslo' } },
        { name: 'weather', args: { city: 'Rome' } },
      ],
    });
    const stream = clientOf(app).chat.completions.stream({
      model: MODEL,
      messages: HI,
      tools: [WEATHER],
    });
    const { message, finish_reason } = (await stream.finalChatCompletion()).choices[0] ?? {};
    expect(finish_reason).toBe('tool_calls');
    expect(
      message?.tool_calls?.map((call) => call.type === 'function' && call.function.arguments),
    ).toEqual(['{"city":"Oslo"}', '{"city":"Rome"}']);
  });

  it('sets the generation parameters, which go on to Google', async () => {
    const app = await startForPrograms(
      null,
      { text: WORDS },
      { environment: { SYSTEM_PROMPT: 'Sell shoes.' } },
    );
    await clientOf(app).chat.completions.create({
      model: `models/${MODEL}`,
      messages: [
        { role: 'developer', content: 'Be brief.' },
        { role: 'system', content: [{ type: 'text', text: 'Be kind.' }] },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'What is this?' },
            { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } },
          ],
        },
      ],
      temperature: 0.5,
      top_p: 0.9,
      max_tokens: 10,
      max_completion_tokens: 20,
      stop: ['END'],
      seed: 7,
      presence_penalty: 1,
      frequency_penalty: -1,
      reasoning_effort: 'low',
      response_format: {
        type: 'json_schema',
        json_schema: { name: 'answer', schema: { type: 'object' }, strict: true },
      },
      n: 1,
      user: 'somebody',
      logit_bias: null,
    });
    expect(app.standin.calls.at(-1)?.body).toMatchObject({
      systemInstruction: { parts: [{ text: 'Be brief.\n\nBe kind.' }] },
      contents: [
        {
          role: 'user',
          parts: [
            { text: 'What is this?' },
            { inlineData: { mimeType: 'image/png', data: 'iVBORw0KGgo=' } },
          ],
        },
      ],
      generationConfig: {
        temperature: 0.5,
        topP: 0.9,
        maxOutputTokens: 20,
        stopSequences: ['END'],
        seed: 7,
        presencePenalty: 1,
        frequencyPenalty: -1,
        thinkingConfig: { thinkingBudget: 1024 },
        responseMimeType: 'application/json',
        responseJsonSchema: { type: 'object' },
      },
    });
  });

  it('configures thinking as with Google', async () => {
    const app = await startForPrograms();
    const asked = {
      model: MODEL,
      messages: HI,
      top_k: 40,
      extra_body: { google: { thinking_config: { thinking_budget: 512 } } },
    };
    const { choices } = await clientOf(app).chat.completions.create(asked);
    expect(choices[0]?.message.content).toBe(WORDS);
    expect(app.standin.calls.at(-1)?.body).toMatchObject({
      generationConfig: { topK: 40, thinkingConfig: { thinkingBudget: 512 } },
    });
  });

  it.each([
    ['blocked_prompt', 'content_filter', /different way/],
    ['tokens_spent', 'length', /^$/],
  ] as const)('gets an answer without words (%s), and why', async (kind, reason, content) => {
    const app = await startForPrograms({ kind });
    const { choices } = await clientOf(app).chat.completions.create({ model: MODEL, messages: HI });
    expect(choices[0]).toMatchObject({
      finish_reason: reason,
      message: { content: expect.stringMatching(content) },
    });
  });

  it('lists the models that are served', async () => {
    const app = await startForPrograms(
      null,
      {},
      { environment: { GOOGLE_MODELS: `${MODEL},other` } },
    );
    const client = clientOf(app);
    const ids: string[] = [];
    for await (const { id } of client.models.list()) ids.push(id);
    expect(ids).toEqual([MODEL, 'other', 'gemini-embedding-2']);
    expect((await client.models.retrieve('other')).owned_by).toBe('google');
    await expect(client.models.retrieve('none')).rejects.toMatchObject({
      status: 404,
      code: 'model_not_found',
    });
  });

  it('gets the exhaustion as an error, and does not retry if it lasts longer than its limit', async () => {
    const app = await startApp({
      environment: { GOOGLE_API_KEY: 'g-one', CLIENT_TOKENS: CLIENT_TOKEN },
      standin: { keys: [{ key: 'g-one', service: 'google', fault: { kind: 'day_spent' } }] },
    });
    const asked = clientOf(app, { maxRetries: 2 }).chat.completions.create({
      model: MODEL,
      messages: HI,
    });
    await expect(whileTimePasses(app.clock, asked)).rejects.toMatchObject({
      status: 503,
      code: 'all_keys_exhausted',
      type: 'server_error',
      headers: expect.objectContaining({}),
    });
    expect(app.logs.filter(({ msg }) => msg === 'request')).toHaveLength(1);
  });

  it('is refused with another token', async () => {
    const app = await startForPrograms();
    const asked = clientOf(app, { apiKey: 'wrong' }).chat.completions.create({
      model: MODEL,
      messages: HI,
    });
    await expect(asked).rejects.toMatchObject({ status: 401, code: 'invalid_api_key' });
    expect(app.standin.calls).toEqual([]);
  });
});
