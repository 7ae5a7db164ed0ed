import Anthropic from '@anthropic-ai/sdk';
import { describe, expect, it, vi } from 'vitest';
import { CLIENT_TOKEN, MODEL, startForPrograms, UNTOUCHED, WORDS } from '../../support/programs.ts';
import { type App, startApp } from '../../support/start-app.ts';
import { whileTimePasses } from '../../support/while-time-passes.ts';

const HI = [{ role: 'user' as const, content: 'Hi' }];
const TERMS = { model: MODEL, max_tokens: 1024 };
const WEATHER = {
  name: 'weather',
  description: 'The weather of a city.',
  input_schema: {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object' as const,
    properties: { city: { type: 'string' } },
    required: ['city'],
  },
};
const OSLO_AND_ROME = [
  { name: 'weather', args: { city: 'Oslo' } },
  { name: 'weather', args: { city: 'Rome' } },
];
/** The client's types no longer include it. */
const SAMPLING = { temperature: 0.5, top_p: 0.9, top_k: 40 };
const PIXEL = 'iVBORw0KGgo=';
const PNG = { type: 'base64' as const, media_type: 'image/png' as const, data: PIXEL };
const SIGNATURE = Buffer.from('a thought of the stand-in').toString('base64');

const clientOf = (app: App, more = {}) =>
  new Anthropic({
    baseURL: app.url,
    apiKey: CLIENT_TOKEN,
    authToken: null,
    maxRetries: 0,
    ...more,
  });

const lastBody = (app: App) => app.standin.calls.at(-1)?.body;

describe('the official Anthropic client', () => {
  it('gets a whole answer after a failover, with its token in either place', async () => {
    const app = await startForPrograms({ kind: 'day_spent' }, { text: WORDS, cachedTokens: 1 });
    const asked = clientOf(app).messages.create({ ...TERMS, messages: HI });
    const { data, request_id } = await whileTimePasses(app.clock, asked.withResponse());
    expect(data).toMatchObject({
      id: expect.stringMatching(/^msg_/),
      type: 'message',
      role: 'assistant',
      model: MODEL,
      content: [{ type: 'text', text: WORDS }],
      stop_reason: 'end_turn',
      stop_sequence: null,
      usage: {
        input_tokens: 0,
        cache_read_input_tokens: 1,
        cache_creation_input_tokens: 0,
        output_tokens: 4,
      },
    });
    expect(data.id).toBe(`msg_${request_id}`);
    expect(await app.counts()).toMatchObject({ available: 1, cooling_down: 1 });
    const byBearer = clientOf(app, { apiKey: null, authToken: CLIENT_TOKEN });
    const { content } = await byBearer.messages.create({ ...TERMS, messages: HI });
    expect(content).toEqual([{ type: 'text', text: WORDS }]);
  });

  it('gets a stream, with thoughts if it requests them', async () => {
    const app = await startForPrograms(
      { kind: 'day_spent' },
      { chunks: 3, text: WORDS, thoughts: 'What could it be?', cachedTokens: 1 },
    );
    const types: string[] = [];
    const read = () => {
      const stream = clientOf(app).messages.stream({
        ...TERMS,
        messages: HI,
        thinking: { type: 'adaptive' },
        output_config: { effort: 'low' },
      });
      stream.on('streamEvent', ({ type }) => types.push(type));
      return stream.finalMessage();
    };
    const message = await whileTimePasses(app.clock, read());
    expect(message).toMatchObject({
      content: [
        {
          type: 'thinking',
          thinking: 'What could it be?',
          signature: expect.stringMatching(/^.{12}$/),
        },
        { type: 'text', text: WORDS },
      ],
      stop_reason: 'end_turn',
      usage: { input_tokens: 0, cache_read_input_tokens: 1 },
    });
    expect(message.usage.output_tokens).toBeGreaterThan(4);
    expect(types.filter((type) => type !== 'content_block_delta')).toEqual([
      'message_start',
      'content_block_start',
      'content_block_stop',
      'content_block_start',
      'content_block_stop',
      'message_delta',
      'message_stop',
    ]);
    expect(lastBody(app)).toMatchObject({
      generationConfig: { thinkingConfig: { thinkingBudget: 1024, includeThoughts: true } },
    });
    const whole = await clientOf(app).messages.create({
      ...TERMS,
      messages: HI,
      thinking: { type: 'enabled', budget_tokens: 31_999 },
    });
    expect(whole.content).toEqual(message.content);
    expect(lastBody(app)).toMatchObject({
      generationConfig: { thinkingConfig: { thinkingBudget: 24_576, includeThoughts: true } },
    });
    const silent = await clientOf(app).messages.create({
      ...TERMS,
      messages: HI,
      thinking: { type: 'disabled' },
    });
    expect(silent.content).toEqual([{ type: 'text', text: WORDS }]);
    expect(lastBody(app)).toMatchObject({
      generationConfig: { thinkingConfig: { thinkingBudget: 0 } },
    });
  });

  it.each([
    ['whole', false],
    ['in a stream', true],
  ])(
    'calls tools %s, sends their results in any order, and the signature of the call comes back to Google',
    async (_, isStreamed) => {
      const app = await startForPrograms(null, { functionCalls: OSLO_AND_ROME });
      const { messages } = clientOf(app);
      const terms = { ...TERMS, tools: [WEATHER], tool_choice: { type: 'any' as const } };
      const first = isStreamed
        ? await messages.stream({ ...terms, messages: HI }).finalMessage()
        : await messages.create({ ...terms, messages: HI });
      expect(first.stop_reason).toBe('tool_use');
      expect(first.content).toMatchObject([
        { type: 'thinking', thinking: '' },
        { type: 'tool_use', name: 'weather', input: { city: 'Oslo' } },
        { type: 'tool_use', name: 'weather', input: { city: 'Rome' } },
      ]);
      expect(lastBody(app)).toMatchObject({
        tools: [
          {
            functionDeclarations: [
              { name: 'weather', parametersJsonSchema: { required: ['city'], type: 'object' } },
            ],
          },
        ],
        toolConfig: { functionCallingConfig: { mode: 'ANY' } },
      });
      const [oslo = '', rome = ''] = first.content.flatMap((block) =>
        block.type === 'tool_use' ? [block.id] : [],
      );
      expect(oslo).toMatch(/^toolu_\w{32}$/);
      await messages.create({
        ...terms,
        tool_choice: { type: 'auto' },
        messages: [
          ...HI,
          { role: 'assistant', content: first.content as Anthropic.ContentBlockParam[] },
          {
            role: 'user',
            content: [
              {
                type: 'tool_result',
                tool_use_id: rome,
                content: [
                  { type: 'text', text: 'see' },
                  { type: 'image', source: PNG },
                ],
              },
              { type: 'tool_result', tool_use_id: oslo, content: 'no station', is_error: true },
              { type: 'text', text: 'Well?' },
            ],
          },
        ],
      });
      expect(lastBody(app)).toMatchObject({
        contents: [
          { role: 'user', parts: [{ text: 'Hi' }] },
          {
            role: 'model',
            parts: [
              {
                functionCall: { name: 'weather', args: { city: 'Oslo' } },
                thoughtSignature: SIGNATURE,
              },
              { functionCall: { name: 'weather', args: { city: 'Rome' } } },
            ],
          },
          {
            role: 'user',
            parts: [
              { functionResponse: { name: 'weather', response: { error: 'no station' } } },
              { functionResponse: { name: 'weather', response: { output: 'see' } } },
              { inlineData: { mimeType: 'image/png', data: PIXEL } },
            ],
          },
          { role: 'user', parts: [{ text: 'Well?' }] },
        ],
      });
    },
  );

  it('may leave out its thoughts, and may send those of another provider', async () => {
    const app = await startForPrograms();
    const use = { type: 'tool_use' as const, id: 'toolu_1', name: 'weather', input: {} };
    const result = { type: 'tool_result' as const, tool_use_id: 'toolu_1', content: 'cold' };
    for (const thoughts of [
      [],
      [{ type: 'thinking' as const, thinking: 'Hm.', signature: 'Y2xhdWRl' }],
      [{ type: 'redacted_thinking' as const, data: 'Y2xhdWRl' }],
    ]) {
      await clientOf(app).messages.create({
        ...TERMS,
        tools: [WEATHER],
        messages: [
          ...HI,
          { role: 'assistant', content: [...thoughts, use] },
          { role: 'user', content: [result] },
        ],
      });
      expect(JSON.stringify(lastBody(app))).not.toContain('Y2xhdWRl');
      expect(JSON.stringify(lastBody(app))).toContain('skip_thought_signature_validator');
    }
  });

  it('gets one call at a time if it requests that', async () => {
    const app = await startForPrograms(null, { functionCalls: OSLO_AND_ROME });
    const asked = {
      ...TERMS,
      messages: HI,
      tools: [WEATHER],
      tool_choice: { type: 'tool' as const, name: 'weather', disable_parallel_tool_use: true },
    };
    const whole = await clientOf(app).messages.create(asked);
    const streamed = await clientOf(app).messages.stream(asked).finalMessage();
    for (const { content } of [whole, streamed]) {
      expect(content.filter(({ type }) => type === 'tool_use')).toHaveLength(1);
    }
    expect(lastBody(app)).toMatchObject({
      toolConfig: { functionCallingConfig: { mode: 'ANY', allowedFunctionNames: ['weather'] } },
    });
  });

  it('searches the web with Google Search, and gets its pages', async () => {
    const sources = [{ uri: 'https://a.example/oslo', title: 'Oslo' }];
    const app = await startForPrograms(null, { text: WORDS, sources });
    const asked = {
      ...TERMS,
      messages: HI,
      tools: [{ type: 'web_search_20250305' as const, name: 'web_search' as const, max_uses: 8 }],
      tool_choice: { type: 'tool' as const, name: 'web_search' },
    };
    const whole = await clientOf(app).messages.create(asked);
    const streamed = await clientOf(app).messages.stream(asked).finalMessage();
    for (const { content, usage } of [whole, streamed]) {
      expect(content).toMatchObject([
        { type: 'text', text: WORDS },
        { type: 'server_tool_use', name: 'web_search' },
        {
          type: 'web_search_tool_result',
          content: [{ type: 'web_search_result', url: 'https://a.example/oslo', title: 'Oslo' }],
        },
      ]);
      expect(usage.server_tool_use).toMatchObject({ web_search_requests: 1 });
    }
    expect(lastBody(app)).toMatchObject({ tools: [{ googleSearch: {} }] });
    const content = whole.content as Anthropic.ContentBlockParam[];
    const further = [...HI, { role: 'assistant' as const, content }, ...HI];
    await clientOf(app).messages.create({ ...TERMS, messages: further });
    expect(lastBody(app)).toMatchObject({
      contents: [{}, { role: 'model', parts: [{ text: WORDS }] }, {}],
    });
  });

  it('sends instructions, media and parameters, which reach Google', async () => {
    const app = await startForPrograms(
      null,
      { text: '{}' },
      { environment: { SYSTEM_PROMPT: 'Sell shoes.' } },
    );
    const schema = { type: 'object', properties: { name: { type: 'string' } } };
    await clientOf(app).messages.create({
      ...TERMS,
      model: `google/${MODEL}`,
      system: [
        { type: 'text', text: 'Be brief.', cache_control: { type: 'ephemeral' } },
        { type: 'text', text: 'Be kind.' },
      ],
      messages: [
        {
          role: 'user',
          content: [
            { type: 'image', source: PNG },
            { type: 'image', source: { type: 'url', url: 'https://a.example/b.png' } },
            {
              type: 'document',
              title: 'A bill',
              source: { type: 'base64', media_type: 'application/pdf', data: 'JVBERi0=' },
            },
            { type: 'document', source: { type: 'url', url: 'https://a.example/c.pdf' } },
            {
              type: 'document',
              source: { type: 'text', media_type: 'text/plain', data: 'plain words' },
            },
            {
              type: 'search_result',
              source: 'https://a.example/d',
              title: 'D',
              content: [{ type: 'text', text: 'found' }],
            },
          ],
        },
        { role: 'user', content: 'What is this?' },
      ],
      ...SAMPLING,
      stop_sequences: ['END'],
      output_config: { effort: 'max', format: { type: 'json_schema', schema } },
      metadata: { user_id: 'somebody' },
      service_tier: 'auto',
    });
    expect(lastBody(app)).toEqual({
      systemInstruction: { role: 'system', parts: [{ text: 'Be brief.\n\nBe kind.' }] },
      contents: [
        {
          role: 'user',
          parts: [
            { inlineData: { mimeType: 'image/png', data: PIXEL } },
            { fileData: { fileUri: 'https://a.example/b.png' } },
            { text: 'A bill' },
            { inlineData: { mimeType: 'application/pdf', data: 'JVBERi0=' } },
            { fileData: { fileUri: 'https://a.example/c.pdf', mimeType: 'application/pdf' } },
            { text: 'plain words' },
            { text: 'D (https://a.example/d)' },
            { text: 'found' },
            { text: 'What is this?' },
          ],
        },
      ],
      generationConfig: {
        temperature: 0.5,
        topP: 0.9,
        topK: 40,
        maxOutputTokens: 1024,
        stopSequences: ['END'],
        thinkingConfig: { thinkingBudget: 24_576 },
        responseMimeType: 'application/json',
        responseJsonSchema: schema,
      },
    });
  });

  it('counts the tokens of a whole request, also while all quota is spent', async () => {
    const app = await startForPrograms(
      { kind: 'day_spent' },
      {},
      { keys: { fault: { kind: 'day_spent' } } },
    );
    const client = clientOf(app);
    await expect(client.messages.create({ ...TERMS, messages: HI })).rejects.toThrow();
    for (const key of ['g-one', 'g-two']) app.standin.setFault(key, null);
    const { input_tokens: few } = await client.messages.countTokens({ model: MODEL, messages: HI });
    const asked = { model: MODEL, messages: HI, system: 'x'.repeat(400), tools: [WEATHER] };
    const { input_tokens: many } = await client.messages.countTokens(asked);
    expect([few, many - few]).toEqual([1, 100]);
    expect(app.standin.calls.at(-1)).toMatchObject({
      path: `/v1beta/models/${MODEL}:countTokens`,
      body: {
        generateContentRequest: {
          model: `models/${MODEL}`,
          tools: [{ functionDeclarations: [{ name: 'weather' }] }],
        },
      },
    });
    expect(await app.counts()).toMatchObject({ cooling_down: 2 });
  });

  it('gets an error for a count that Google does not answer in twenty seconds', async () => {
    const app = await startForPrograms({ kind: 'hang' }, {}, { keys: { fault: { kind: 'hang' } } });
    const asked = clientOf(app).messages.countTokens({ model: MODEL, messages: HI });
    await expect(whileTimePasses(app.clock, asked, 100)).rejects.toMatchObject({
      status: 504,
      type: 'timeout_error',
    });
    expect(await app.counts()).toEqual(UNTOUCHED);
    await vi.waitFor(() => expect(app.clock.pendingTimers()).toBe(0));
  });

  it("is told Google's reason for a count that it refuses", async () => {
    const error = { code: 400, status: 'INVALID_ARGUMENT', message: 'The image is broken.' };
    const app = await startForPrograms({ kind: 'raw', status: 400, body: { error } });
    const asked = clientOf(app).messages.countTokens({ model: MODEL, messages: HI });
    await expect(asked).rejects.toMatchObject({
      status: 400,
      type: 'invalid_request_error',
      message: expect.stringContaining('The image is broken.'),
    });
  });

  it('lists the models that are served', async () => {
    const app = await startForPrograms(
      null,
      {},
      { environment: { GOOGLE_MODELS: `${MODEL},other` } },
    );
    const { models } = clientOf(app);
    const found: object[] = [];
    for await (const model of models.list()) found.push(model);
    expect(found).toEqual(
      [MODEL, 'other'].map((id) => ({
        type: 'model',
        id,
        display_name: id,
        created_at: '2026-11-24T18:00:00.000Z',
      })),
    );
    expect((await models.retrieve('other')).id).toBe('other');
    await expect(models.retrieve('none')).rejects.toMatchObject({
      status: 404,
      type: 'not_found_error',
    });
  });

  it.each([
    ['blocked_prompt', 'refusal', [{ type: 'text', text: expect.stringMatching(/different way/) }]],
    ['tokens_spent', 'max_tokens', []],
  ] as const)('gets an answer without words (%s), and why', async (kind, reason, content) => {
    const app = await startForPrograms({ kind }, {}, { keys: { fault: { kind } } });
    const whole = await clientOf(app).messages.create({ ...TERMS, messages: HI });
    const streamed = await clientOf(app)
      .messages.stream({ ...TERMS, messages: HI })
      .finalMessage();
    for (const message of [whole, streamed]) {
      expect([message.stop_reason, message.content]).toEqual([reason, content]);
    }
  });

  it('throws the error of a stream that breaks off', async () => {
    const fault = { kind: 'cut_mid_stream' } as const;
    const app = await startForPrograms(fault, { text: WORDS }, { keys: { fault } });
    const stream = clientOf(app).messages.stream({ ...TERMS, messages: HI });
    await expect(stream.finalMessage()).rejects.toMatchObject({ type: 'api_error' });
    const raw = await clientOf(app).messages.create({ ...TERMS, messages: HI, stream: true });
    const read = async () => {
      for await (const event of raw) expect(event.type).not.toBe('message_stop');
    };
    await expect(read()).rejects.toMatchObject({ type: 'api_error' });
  });

  it('ends the call to the provider when it aborts its own', async () => {
    const app = await startForPrograms(null, { chunks: 2, text: WORDS, chunkMs: 20_000 });
    const stream = clientOf(app).messages.stream({ ...TERMS, messages: HI });
    for await (const { type } of stream) if (type === 'content_block_delta') break;
    await vi.waitFor(() => expect(app.standin.calls.at(-1)?.aborted).toBe(true));
    await vi.waitFor(() => expect(app.clock.pendingTimers()).toBe(0));
  });

  it('gets the exhaustion as an overload, and does not wait an hour to retry', async () => {
    const app = await startApp({
      environment: { GOOGLE_API_KEY: 'g-one', CLIENT_TOKENS: CLIENT_TOKEN },
      standin: { keys: [{ key: 'g-one', service: 'google', fault: { kind: 'day_spent' } }] },
    });
    const asked = clientOf(app, { maxRetries: 2 }).messages.create({ ...TERMS, messages: HI });
    const error = await whileTimePasses(app.clock, asked).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ status: 503, type: 'overloaded_error' });
    expect(error instanceof Anthropic.APIError && error.headers?.get('retry-after')).toBe('3600');
    expect(app.logs.filter(({ msg }) => msg === 'request')).toHaveLength(1);
  });

  it('is refused with another token', async () => {
    const app = await startForPrograms();
    const asked = clientOf(app, { apiKey: 'wrong' }).messages.create({ ...TERMS, messages: HI });
    await expect(asked).rejects.toMatchObject({
      status: 401,
      type: 'authentication_error',
      requestID: expect.stringMatching(/./),
    });
    expect(app.standin.calls).toEqual([]);
    expect(app.logText()).not.toContain('wrong');
  });

  it('runs tools without the thread that it asks for first', async () => {
    const app = await startForPrograms(null, {
      functionCalls: [{ name: 'weather', args: { city: 'Oslo' } }],
    });
    const runner = clientOf(app).beta.messages.toolRunner({
      ...TERMS,
      messages: HI,
      tools: [{ ...WEATHER, run: () => 'cold', parse: (input: unknown) => input }],
    });
    const { content } = await runner;
    expect(content).toMatchObject([{ type: 'text', text: expect.stringContaining('You said') }]);
    expect(JSON.stringify(lastBody(app))).toContain('"cold"');
  });
});
