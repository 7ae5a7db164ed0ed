import { describe, expect, it } from 'vitest';
import {
  CLIENT_TOKEN,
  MODEL,
  shareForPrograms,
  startForPrograms,
  UNTOUCHED,
} from '../../support/programs.ts';
import { type App, flow } from '../../support/start-app.ts';

const shared = shareForPrograms();

const BEARER = { authorization: `Bearer ${CLIENT_TOKEN}` };
const PATH = '/v1/chat/completions';
const HI = { role: 'user', content: 'Hi' };
const ASKED = { model: MODEL, messages: [HI] };
const call = (id: string, more = {}) => ({
  id,
  type: 'function',
  function: { name: 'weather', arguments: '{}' },
  ...more,
});
const called = (...calls: object[]) => ({ role: 'assistant', content: null, tool_calls: calls });
const result = (id: string) => ({ role: 'tool', tool_call_id: id, content: 'cold' });
const saying = (...messages: unknown[]) => ({ ...ASKED, messages });
const parts = (...content: unknown[]) => saying({ role: 'user', content });

const nested = (levels: number): object =>
  Array.from({ length: levels }).reduce<object>((inner) => ({ a: inner }), {});

const post = (app: App, body: unknown, headers: Record<string, string> = BEARER) =>
  app.post(PATH, body, headers);

/** So many references to what has as many itself, each written in another way. */
function withManyReferences(many: number): object {
  const to = (place: string) =>
    Object.fromEntries(
      Array.from({ length: many }, (_, index) => [
        `p${index}`,
        { $ref: `#${index}/$defs/${place}` },
      ]),
    );
  return { properties: to('branch'), $defs: { branch: { properties: to('leaf') }, leaf: {} } };
}

/** A few letters that stand for many: each level has the one below twice. */
function doubled(levels: number, leaf: object): object {
  const one = (level: number) => ({ $ref: `#/$defs/d${level}` });
  const above = Array.from({ length: levels }, (_, level): [string, object] => [
    `d${level + 1}`,
    { properties: { a: one(level), b: one(level) } },
  ]);
  return { properties: { a: one(levels) }, $defs: { d0: leaf, ...Object.fromEntries(above) } };
}

describe('a chat completion', () => {
  it.each([
    ['twenty thousand references to as many', [withManyReferences(20_000)]],
    [
      'a reference that stands for a long name a thousand times',
      [doubled(10, { properties: { ['n'.repeat(500_000)]: {} } })],
    ],
    [
      'a hundred schemas that each stand for a million',
      Array.from({ length: 100 }, () => doubled(18, {})),
    ],
  ])('is sent on without a great size or delay, with %s', async (_, schemas) => {
    const app = shared();
    const tools = schemas.map((parameters, index) => ({
      type: 'function',
      function: { name: `f${index}`, parameters },
    }));
    expect((await flow(app.clock, post(app, { ...ASKED, tools }))).status).toBe(200);
    expect(app.standin.calls[0]?.bodyLength).toBeLessThan(10_000_000);
  });

  it.each<[string, unknown, string, RegExp]>([
    ['no body', '', 'model', /./],
    ['a list', [], '', /./],
    ['no model', { messages: [HI] }, 'model', /./],
    ['no messages', { model: MODEL }, 'messages', /./],
    ['an empty list of messages', saying(), 'messages', /Must not be empty/],
    ['a message without a role', saying({ content: 'Hi' }), 'messages.0.role', /./],
    [
      'a message of an unknown role',
      saying({ role: 'boss', content: 'Hi' }),
      'messages.0.role',
      /./,
    ],
    ['a content that is a number', saying({ role: 'user', content: 7 }), 'messages.0.content', /./],
    ['a blank message', saying({ role: 'user', content: ' ' }), 'messages', /must not be empty/],
    [
      'the assistant as the last',
      saying(HI, { role: 'assistant', content: 'Yes' }),
      'messages',
      /The last message/,
    ],
    [
      'a part of an unknown type',
      parts({ type: 'hologram' }),
      'messages.0.content',
      /text, image_url, video_url, file or input_audio/,
    ],
    [
      'an image at an address that is not of the web',
      parts({ type: 'image_url', image_url: { url: 'gs://bucket/b.png' } }),
      'messages.0.content.0.image_url',
      /data URL .*, or an http/,
    ],
    [
      'an image that is not base64',
      parts({ type: 'image_url', image_url: { url: 'data:image/png;base64,%%%' } }),
      'messages.0.content',
      /data URL/,
    ],
    [
      'an uploaded file',
      parts({ type: 'file', file: { file_id: 'file-abc' } }),
      'messages.0.content.0.file.file_id',
      /No files are stored here: send file_data/,
    ],
    [
      'a file without data',
      parts({ type: 'file', file: {} }),
      'messages.0.content.0.file',
      /missing/,
    ],
    [
      'a sound that is not base64',
      parts({ type: 'input_audio', input_audio: { data: '?', format: 'wav' } }),
      'messages.0.content.0.input_audio.data',
      /base64/,
    ],
    [
      'a sound of an unknown form',
      parts({ type: 'input_audio', input_audio: { data: 'AAAA', format: 'midi' } }),
      'messages.0.content.0.input_audio.format',
      /wav/,
    ],
    ['a result without its call', saying(HI, result('c1')), 'messages.1.tool_call_id', /no call/],
    [
      'a result of another call',
      saying(HI, called(call('c1')), result('c1'), result('c2')),
      'messages.3.tool_call_id',
      /no call/,
    ],
    [
      'a call with arguments that are not JSON',
      saying(HI, called(call('c1', { function: { name: 'w', arguments: '{' } })), result('c1')),
      'messages.1.tool_calls.0.function.arguments',
      /JSON object/,
    ],
    [
      'a deprecated function call',
      saying({ role: 'assistant', function_call: { name: 'w' } }, HI),
      'messages.0.function_call',
      /tool_calls/,
    ],
    ['a temperature out of range', { ...ASKED, temperature: 3 }, 'temperature', /./],
    ['max_tokens of 0', { ...ASKED, max_tokens: 0 }, 'max_tokens', /./],
    ['six stop texts', { ...ASKED, stop: ['a', 'b', 'c', 'd', 'e', 'f'] }, 'stop', /./],
    ['several answers', { ...ASKED, n: 2 }, 'n', /Only 1 is supported/],
    ['probabilities', { ...ASKED, logprobs: true }, 'logprobs', /Only false/],
    ['biases', { ...ASKED, logit_bias: { 50256: -100 } }, 'logit_bias', /./],
    ['a voice', { ...ASKED, modalities: ['text', 'audio'] }, 'modalities', /Only text/],
    ['audio', { ...ASKED, audio: { voice: 'a' } }, 'audio', /not supported/],
    [
      'a search from a place',
      { ...ASKED, web_search_options: { user_location: { type: 'approximate' } } },
      'web_search_options.user_location',
      /not supported/,
    ],
    ['thoughts of an unknown kind', { ...ASKED, thinking: { type: 'loud' } }, 'thinking.type', /./],
    [
      'a template of another server',
      { ...ASKED, chat_template_kwargs: { persona: 'a' } },
      'chat_template_kwargs.persona',
      /unknown/,
    ],
    [
      'a schema that refers to itself',
      {
        ...ASKED,
        tools: [
          { type: 'function', function: { name: 'a', parameters: { items: { $ref: '#' } } } },
        ],
      },
      'tools.0.function.parameters',
      /refer to itself/,
    ],
    [
      'no allowed tools',
      {
        ...ASKED,
        tool_choice: { type: 'allowed_tools', allowed_tools: { mode: 'auto', tools: [] } },
      },
      'tool_choice.allowed_tools.tools',
      /Must not be empty/,
    ],
    [
      'an unknown allowed tool',
      {
        ...ASKED,
        tools: [{ type: 'function', function: { name: 'a' } }],
        tool_choice: {
          type: 'allowed_tools',
          allowed_tools: { mode: 'auto', tools: [{ type: 'function', function: { name: 'b' } }] },
        },
      },
      'tool_choice',
      /no such tool/,
    ],
    [
      'deprecated functions',
      { ...ASKED, functions: [{ name: 'f' }] },
      'functions',
      /not supported/,
    ],
    [
      'a deprecated choice of function',
      { ...ASKED, function_call: { name: 'f' } },
      'function_call',
      /tools/,
    ],
    ['several candidates', { ...ASKED, best_of: 2 }, 'best_of', /Only 1/],
    ['a penalty for repetition', { ...ASKED, repetition_penalty: 1.1 }, 'repetition_penalty', /1/],
    ['half a candidate token', { ...ASKED, top_k: 1.5 }, 'top_k', /./],
    [
      'an unknown thinking level',
      { ...ASKED, extra_body: { google: { thinking_config: { thinking_level: 'huge' } } } },
      'extra_body.google.thinking_config.thinking_level',
      /./,
    ],
    [
      'an unknown field of the thinking configuration',
      { ...ASKED, google: { thinking_config: { budget: 1 } } },
      'google.thinking_config.budget',
      /unknown/,
    ],
    [
      'what is no name of a cached content',
      { ...ASKED, extra_body: { google: { cached_content: '../files/a' } } },
      'extra_body.google.cached_content',
      /name of a cached content/,
    ],
    ['the body of another provider', { ...ASKED, extra_body: { a: 1 } }, 'extra_body.a', /unknown/],
    [
      'an unknown choice as an object',
      { ...ASKED, tool_choice: { type: 'maybe' } },
      'tool_choice',
      /Must be none/,
    ],
    [
      'a required tool without tools',
      { ...ASKED, tool_choice: 'required' },
      'tool_choice',
      /no such tool/,
    ],
    [
      'a schema that is too deep',
      { ...ASKED, tools: [{ type: 'function', function: { name: 'a', parameters: nested(100) } }] },
      'tools.0.function.parameters',
      /nest deeper/,
    ],
    [
      'arguments that are too deep',
      saying(
        HI,
        called(call('c1', { function: { name: 'w', arguments: JSON.stringify(nested(1000)) } })),
        result('c1'),
      ),
      'messages.1.tool_calls.0.function.arguments',
      /JSON object/,
    ],
    [
      'two calls with one id',
      saying(HI, called(call('c1'), call('c1')), result('c1'), result('c1')),
      'messages.1.tool_calls.1',
      /Another call has the same id/,
    ],
    [
      'two results of one call',
      saying(HI, called(call('c1')), result('c1'), result('c1')),
      'messages.3.tool_call_id',
      /already has its result/,
    ],
    [
      'a call without its result',
      saying(HI, called(call('c1'), call('c2')), result('c1')),
      'messages.1.tool_calls.1',
      /This call has no result/,
    ],
    [
      'a call without any result',
      saying(HI, called(call('c1')), HI),
      'messages.1.tool_calls.0',
      /This call has no result/,
    ],
    [
      'an empty last message',
      saying(HI, { role: 'user', content: '' }),
      'messages',
      /must not be empty/,
    ],
    ['no content', saying({ role: 'user', content: null }), 'messages.0.content', /./],
    [
      '500 parameters',
      Object.fromEntries(Array.from({ length: 500 }, (_, n) => [`p${n}`, 1])),
      '',
      /At most 100/,
    ],
    ['an unknown parameter', { ...ASKED, top_q: 1 }, 'top_q', /not supported/],
    [
      'a tool that is not a function',
      { ...ASKED, tools: [{ type: 'custom' }] },
      'tools.0.type',
      /Only functions/,
    ],
    [
      'a choice of an unknown tool',
      {
        ...ASKED,
        tools: [{ type: 'function', function: { name: 'a' } }],
        tool_choice: { type: 'function', function: { name: 'b' } },
      },
      'tool_choice',
      /no such tool/,
    ],
    [
      'a choice without a function',
      { ...ASKED, tool_choice: { type: 'function' } },
      'tool_choice.function',
      /missing/,
    ],
    ['an unknown choice', { ...ASKED, tool_choice: 'maybe' }, 'tool_choice', /Must be none/],
    [
      'an unknown response format',
      { ...ASKED, response_format: { type: 'xml' } },
      'response_format.type',
      /./,
    ],
    ['an unknown effort', { ...ASKED, reasoning_effort: 'heroic' }, 'reasoning_effort', /./],
  ])(
    'with %s is refused by the name of the parameter, without a call to the provider',
    async (_, body, param, says) => {
      const app = shared();
      const { status, body: answer } = await post(app, body);
      expect(answer.error).toEqual({
        message: expect.stringMatching(says),
        type: 'invalid_request_error',
        param: param === '' ? null : expect.stringMatching(new RegExp(`^${param}`)),
        code: 'invalid_request',
      });
      expect([status, app.standin.calls]).toEqual([400, []]);
      expect(await app.counts()).toEqual(UNTOUCHED);
    },
  );

  it.each<[string, object]>([
    [
      'are null',
      {
        n: null,
        temperature: null,
        stop: null,
        tools: null,
        seed: null,
        audio: null,
        stream: null,
      },
    ],
    [
      'state the default',
      { n: 1, logprobs: false, parallel_tool_calls: true, modalities: ['text'], logit_bias: {} },
    ],
    [
      "concern OpenAI's own housekeeping",
      { user: 'u', store: true, metadata: { a: 'b' }, service_tier: 'auto', prompt_cache_key: 'k' },
    ],
    ['choose among no tools', { tools: [], tool_choice: 'auto' }],
    ['ask for text', { response_format: { type: 'text' } }],
    ['are deprecated and empty', { functions: [], function_call: 'auto' }],
    [
      'are empty',
      {
        response_format: {},
        stream_options: {},
        logit_bias: {},
        extra_body: {},
        metadata: {},
        audio: {},
        reasoning: {},
        thinking: {},
        reasoning_effort: '',
        tool_choice: '',
        tools: [],
        stop: [],
        provider: {},
        transforms: [],
      },
    ],
    [
      'other servers take, at their neutral value',
      { min_p: 0, best_of: 1, echo: false, length_penalty: 1, skip_special_tokens: true },
    ],
    ['are deprecated and null', { functions: null, function_call: 'none' }],
  ])('may have parameters that %s', async (_, more) => {
    const app = shared();
    expect((await post(app, { ...ASKED, ...more })).status).toBe(200);
  });

  it('may ask for JSON without a schema', async () => {
    const app = shared();
    await post(app, { ...ASKED, response_format: { type: 'json_object' } });
    expect(app.standin.calls.at(-1)?.body).toMatchObject({
      generationConfig: { responseMimeType: 'application/json' },
    });
  });

  it.each([
    ['none', { mode: 'NONE' }],
    ['auto', { mode: 'AUTO' }],
    ['required', { mode: 'ANY' }],
    [{ type: 'none' }, { mode: 'NONE' }],
    [{ type: 'auto' }, { mode: 'AUTO' }],
    [{ type: 'required' }, { mode: 'ANY' }],
    ['any', { mode: 'ANY' }],
    [
      { type: 'function', name: 'weather' },
      { mode: 'ANY', allowedFunctionNames: ['weather'] },
    ],
    [
      { type: 'function', function: { name: 'weather' } },
      { mode: 'ANY', allowedFunctionNames: ['weather'] },
    ],
  ])('may have the tool choice %j', async (choice, functionCallingConfig) => {
    const app = shared();
    const tools = [{ type: 'function', function: { name: 'weather' } }];
    await post(app, { ...ASKED, tools, tool_choice: choice });
    expect(app.standin.calls.at(-1)?.body).toMatchObject({ toolConfig: { functionCallingConfig } });
  });

  it('may have half a surrogate pair in every field, which becomes U+FFFD', async () => {
    const app = shared();
    const half = (name: string) => `${name}\ud83d`;
    const written = JSON.stringify({ [half('key')]: half('value') });
    const { status } = await post(app, {
      ...ASKED,
      user: half('u'),
      stop: half('s'),
      messages: [
        { role: 'system', content: half('system') },
        { role: 'user', content: [{ type: 'text', text: half('user') }] },
        called(call(half('id'), { function: { name: half('name'), arguments: written } })),
        { role: 'tool', tool_call_id: half('id'), content: written },
      ],
      tools: [
        {
          type: 'function',
          function: {
            name: half('name'),
            description: half('d'),
            parameters: { type: 'object', properties: { [half('p')]: {} }, required: [half('p')] },
          },
        },
      ],
    });
    const sent = app.standin.calls.at(-1)?.body;
    expect(status).toBe(200);
    const read = { 'key\ufffd': 'value\ufffd' };
    // Gemini takes letters and digits of ASCII only.
    const NAME = expect.stringMatching(/^_name__[\da-f]{12}$/);
    expect(sent).toMatchObject({
      systemInstruction: { parts: [{ text: 'system\ufffd' }] },
      contents: [
        { parts: [{ text: 'user\ufffd' }] },
        { parts: [{ functionCall: { name: NAME, args: read } }] },
        { parts: [{ functionResponse: { name: NAME, response: read } }] },
      ],
      tools: [
        {
          functionDeclarations: [
            {
              name: NAME,
              description: 'd\ufffd',
              parametersJsonSchema: { properties: { 'p\ufffd': {} }, required: ['p\ufffd'] },
            },
          ],
        },
      ],
      generationConfig: { stopSequences: ['s\ufffd'] },
    });
    expect(JSON.stringify(sent)).not.toContain('\\ud83d');
  });

  it('gives tool calls ids of at most 40 characters, and accepts ids of up to 200', async () => {
    const app = await startForPrograms(null, { functionCalls: [{ name: 'weather', args: {} }] });
    const tools = [{ type: 'function', function: { name: 'weather' } }];
    const whole = await post(app, { ...ASKED, tools });
    const streamed = await post(app, { ...ASKED, tools, stream: true });
    const ids = [whole, streamed].map(({ text }) => /"id":"(call_[^"]*)"/.exec(text)?.[1] ?? '');
    expect(ids.map(({ length }) => length)).toEqual([37, 37]);
    const long = 'i'.repeat(200);
    expect((await post(app, saying(HI, called(call(long)), result(long)))).status).toBe(200);
  });

  const generationConfigFor = async (more: object) => {
    const app = shared();
    expect((await post(app, { ...ASKED, ...more })).status).toBe(200);
    const body = app.standin.calls.at(-1)?.body as { generationConfig: object } | undefined;
    return body?.generationConfig;
  };

  it.each<[string, object]>([
    ['repetition', { repetition_penalty: 1 }],
    ['presence', { presence_penalty: 0 }],
    ['frequency', { frequency_penalty: 0 }],
    ['stop texts', { stop: ['', ''] }],
    ['limit', { max_tokens: null, max_completion_tokens: -1 }],
    ['modality', { modalities: ['text'] }],
  ])('reaches Google without a neutral value: %s', async (_, more) => {
    expect(await generationConfigFor(more)).toEqual({});
  });

  it.each([
    [40, { topK: 40 }],
    [0, {}],
    [-1, {}],
    [null, {}],
  ])('may have top_k %j', async (top_k, config) => {
    expect(await generationConfigFor({ top_k })).toEqual(config);
  });

  const thinking = (config: object | null) => ({ google: { thinking_config: config } });
  it.each<[object, object | undefined]>([
    [{ enable_thinking: false }, { thinkingBudget: 0 }],
    [{ enable_thinking: true }, undefined],
    [{ enable_thinking: false, reasoning_effort: 'low' }, { thinkingBudget: 1024 }],
    [{ extra_body: thinking({ thinking_budget: 5 }) }, { thinkingBudget: 5 }],
    [{ extra_body: thinking({ thinking_budget: -1 }) }, { thinkingBudget: -1 }],
    [{ extra_body: thinking({ thinking_level: 'low' }) }, { thinkingLevel: 'low' }],
    [thinking({ thinking_level: 'HIGH' }), { thinkingLevel: 'HIGH' }],
    [
      { extra_body: { google: { thinkingConfig: { thinkingBudget: 7, includeThoughts: true } } } },
      { thinkingBudget: 7, includeThoughts: true },
    ],
    [{ reasoning_effort: 'max' }, { thinkingBudget: 24_576 }],
    [{ reasoning: { effort: 'low' } }, { thinkingBudget: 1024, includeThoughts: true }],
    [{ reasoning: { effort: 'low', exclude: true } }, { thinkingBudget: 1024 }],
    [{ reasoning: { max_tokens: 9000 } }, { thinkingBudget: 8192, includeThoughts: true }],
    [{ reasoning: { enabled: true } }, { includeThoughts: true }],
    [{ reasoning: { enabled: false } }, { thinkingBudget: 0 }],
    [{ include_reasoning: true }, { includeThoughts: true }],
    [
      { thinking: { type: 'enabled', budget_tokens: 32_000 } },
      { thinkingBudget: 24_576, includeThoughts: true },
    ],
    [{ thinking: { type: 'disabled' } }, { thinkingBudget: 0 }],
    [{ thinking: { type: 'adaptive' } }, undefined],
    [{ chat_template_kwargs: { enable_thinking: false } }, { thinkingBudget: 0 }],
    [
      { reasoning_effort: 'high', ...thinking({ thinking_budget: 0, include_thoughts: true }) },
      { thinkingBudget: 0, includeThoughts: true },
    ],
    [
      { reasoning_effort: 'high', ...thinking({ thinking_level: 'low' }) },
      { thinkingLevel: 'low' },
    ],
    [
      { reasoning_effort: 'medium', ...thinking({ include_thoughts: true }) },
      { thinkingBudget: 8192, includeThoughts: true },
    ],
    [thinking({}), undefined],
    [thinking(null), undefined],
    [{ extra_body: {}, google: null }, undefined],
  ])('may configure thinking: %j', async (more, thinkingConfig) => {
    expect(await generationConfigFor(more)).toEqual(
      thinkingConfig === undefined ? {} : { thinkingConfig },
    );
  });

  const contentsFor = async (...messages: unknown[]) => {
    const app = shared();
    expect((await post(app, saying(...messages))).status).toBe(200);
    const body = app.standin.calls.at(-1)?.body as { contents: { parts: object[] }[] } | undefined;
    return body?.contents ?? [];
  };

  it.each([
    ['null', { content: null }],
    ['missing', { content: undefined }],
    ['an empty text', { content: '' }],
    ['an empty list', { content: [] }],
  ])('reads a tool result that is %s as an empty object', async (_, more) => {
    const contents = await contentsFor(HI, called(call('c')), { ...result('c'), ...more });
    expect(contents[2]?.parts).toEqual([{ functionResponse: { name: 'weather', response: {} } }]);
  });

  it.each(['null', '', ' ', null, undefined, {}])(
    'reads arguments of %j as an empty object',
    async (text) => {
      const asked = call('c', { function: { name: 'weather', arguments: text } });
      const contents = await contentsFor(HI, called(asked), result('c'));
      expect(contents[1]?.parts).toMatchObject([{ functionCall: { name: 'weather', args: {} } }]);
    },
  );

  it.each(['{"$ref":"#/a"}', '{"schema":{"properties":[{"a":{"$id":1}}]}}'])(
    'sends a tool result with a key that begins with $ as text: %s',
    async (content) => {
      const contents = await contentsFor(HI, called(call('c')), { ...result('c'), content });
      expect(contents[2]?.parts).toMatchObject([
        { functionResponse: { response: { result: content } } },
      ]);
    },
  );

  it('sends texts and calls of the assistant in a row as one turn of the model', async () => {
    const contents = await contentsFor(
      HI,
      { role: 'assistant', content: 'Let me look.' },
      { role: 'assistant', content: 'One moment.' },
      called(call('c')),
      result('c'),
    );
    expect(contents).toMatchObject([
      { role: 'user' },
      {
        role: 'model',
        parts: [
          { text: 'Let me look.' },
          { text: 'One moment.' },
          { functionCall: { name: 'weather' }, thoughtSignature: expect.any(String) },
        ],
      },
      { role: 'user' },
    ]);
    expect(contents[1]?.parts).toHaveLength(3);
  });

  it('sends an image/jpg as image/jpeg', async () => {
    const url = 'data:image/JPG;base64,iVBORw0KGgo=';
    const [content] = await contentsFor({
      role: 'user',
      content: [{ type: 'image_url', image_url: { url } }],
    });
    expect(content?.parts).toMatchObject([{ inlineData: { mimeType: 'image/jpeg' } }]);
  });

  it('may consist of instructions, which become the user message', async () => {
    const app = shared();
    await post(app, saying({ role: 'system', content: 'Tell a joke.' }));
    expect(app.standin.calls.at(-1)?.body).toMatchObject({
      contents: [{ role: 'user', parts: [{ text: 'Tell a joke.' }] }],
    });
  });

  it.each([false, true])(
    'gets one tool call with parallel_tool_calls: false (streamed: %s)',
    async (stream) => {
      const functionCalls = [
        { name: 'weather', args: { city: 'Oslo' } },
        { name: 'weather', args: { city: 'Rome' } },
      ];
      const app = await startForPrograms(null, { functionCalls });
      const tools = [{ type: 'function', function: { name: 'weather' } }];
      const { text } = await post(app, { ...ASKED, tools, stream, parallel_tool_calls: false });
      expect([text.includes('Oslo'), text.includes('Rome')]).toEqual([true, false]);
      expect(text).toContain('"finish_reason":"tool_calls"');
    },
  );

  it('may carry a key for a proxy', async () => {
    const app = shared();
    for (const key of ['', 'of-a-proxy']) {
      const { status, body } = await post(app, ASKED, { ...BEARER, 'x-goog-api-key': key });
      expect([status, body.object]).toEqual([200, 'chat.completion']);
    }
    const { body } = await post(app, {}, { ...BEARER, 'x-goog-api-key': 'of-a-proxy' });
    expect(body.error.type).toBe('invalid_request_error');
  });

  it.each(['MALFORMED_FUNCTION_CALL', 'UNEXPECTED_TOOL_CALL'])(
    'is sent with another key if the answer was malformed (%s)',
    async (finishReason) => {
      const body = `data: {"candidates":[{"finishReason":"${finishReason}"}]}\r\n\r\n`;
      const app = await startForPrograms({ kind: 'raw', status: 200, body });
      const { body: answer } = await flow(app.clock, post(app, ASKED));
      expect(answer.choices[0].message.content).toBe('one two three');
      expect(await app.counts()).toEqual(UNTOUCHED);
    },
  );

  it('has no usage if the provider sends none that is valid, and no call without a name', async () => {
    const event = {
      candidates: [
        {
          content: { parts: [{ functionCall: { name: null } }, { text: 'Hi' }] },
          finishReason: 'STOP',
        },
      ],
      usageMetadata: { promptTokenCount: 'a', candidatesTokenCount: -3, totalTokenCount: {} },
    };
    const body = `data: ${JSON.stringify(event)}\r\n\r\n`;
    const app = await startForPrograms({ kind: 'raw', status: 200, body });
    const { body: answer } = await post(app, ASKED);
    expect(answer.choices[0]).toMatchObject({ finish_reason: 'stop', message: { content: 'Hi' } });
    expect(answer.usage).toEqual({
      prompt_tokens: 0,
      completion_tokens: 0,
      total_tokens: 0,
      prompt_tokens_details: { cached_tokens: 0 },
      completion_tokens_details: { reasoning_tokens: 0 },
    });
  });

  it('keeps several turns of tools apart', async () => {
    const app = shared();
    const messages = [HI, called(call('c')), result('c'), called(call('c')), result('c')];
    expect((await post(app, saying(...messages))).status).toBe(200);
    expect(app.standin.calls.at(-1)?.body).toMatchObject({
      contents: ['user', 'model', 'user', 'model', 'user'].map((role) => ({ role })),
    });
  });

  it('for an unknown model is 404 in the form of OpenAI', async () => {
    const app = shared();
    const { status, body } = await post(app, { ...ASKED, model: 'gpt-4o' });
    const refusal = (...names: string[]) => ({
      message: `The model "gpt-4o" is not served. Ask for one of: ${names.join(', ')}.`,
      type: 'invalid_request_error',
      param: 'model',
      code: 'model_not_found',
    });
    expect([status, body.error]).toEqual([404, refusal(MODEL)]);
    const looked = await app.get('/v1/models/gpt-4o', BEARER);
    expect([looked.status, looked.body.error]).toEqual([404, refusal(MODEL, 'gemini-embedding-2')]);
  });

  it.each<[string, RegExp, object]>([
    ['messages', /: Is missing\.$/, { model: MODEL }],
    ['messages', /: Must be a list\.$/, { ...ASKED, messages: 'Hi' }],
    ['messages.0.content', /: Is missing\.$/, saying({ role: 'user' })],
    ['messages.0.content', /: Must be a string or a list\.$/, saying({ role: 'user', content: 5 })],
    ['messages.0.content', /more than 10000 entries/, parts(...Array(10_001))],
    [
      'messages.0.content.0.image_url',
      /: Must be a string or an object\.$/,
      parts({ type: 'image_url', image_url: 5 }),
    ],
  ])('with faulty %s is refused with %s', async (param, message, body) => {
    const { status, body: answer } = await post(shared(), body);
    expect([status, answer.error.param]).toEqual([400, param]);
    expect(answer.error.message).toMatch(message);
  });

  it.each<[string, unknown, Record<string, string>, number]>([
    ['not JSON', '{', {}, 400],
    ['of another content type', 'hi', { 'content-type': 'text/plain' }, 415],
  ])(
    'with a body that is %s is refused in the form of OpenAI',
    async (_, body, headers, status) => {
      const app = shared();
      const answer = await post(app, body, { ...BEARER, ...headers });
      expect([answer.status, answer.body.error.type]).toEqual([status, 'invalid_request_error']);
    },
  );

  it.each([['/v1/audio/speech', 404]])(
    'is no answer to %s, which is unknown',
    async (path, status) => {
      const app = shared();
      const answer = await app.post(path, {}, BEARER);
      expect([answer.status, answer.body.error.type]).toEqual([status, 'invalid_request_error']);
    },
  );

  it('needs POST', async () => {
    const app = shared();
    const { status, headers, body } = await app.get(PATH, BEARER);
    expect([status, headers.get('allow'), body.error.type]).toEqual([
      405,
      'POST, OPTIONS',
      'invalid_request_error',
    ]);
  });
});

describe('a refusal without available keys', () => {
  it.each([
    ['an hour', 'day_spent', '3600', 'false'],
    ['half a minute', 'minute_spent', '30', null],
  ] as const)(
    'asks official clients to retry after %s, or not at all',
    async (_, kind, seconds, retry) => {
      const app = await startForPrograms({ kind, retryAfterMs: 30_000 });
      app.standin.setFault('g-two', { kind, retryAfterMs: 30_000 });
      const { status, headers } = await post(app, ASKED);
      expect([status, headers.get('retry-after'), headers.get('x-should-retry')]).toEqual([
        503,
        seconds,
        retry,
      ]);
    },
  );
});

it('a refusal that quotes a function has the name that the caller gave it', async () => {
  const app = await startForPrograms();
  const name = 'now @ weather server';
  const asked = { ...ASKED, tools: [{ type: 'function', function: { name } }] };
  await flow(app.clock, post(app, asked));
  const sent = JSON.stringify(app.standin.calls[0]?.body);
  const given = /"name":"(_now[^"]+)"/.exec(sent)?.[1];
  const error = {
    code: 400,
    status: 'INVALID_ARGUMENT',
    message: `Bad function ${given}: no type.`,
  };
  for (const key of ['g-one', 'g-two'])
    app.standin.setFault(key, { kind: 'raw', status: 400, body: { error } });
  const { status, body } = await flow(app.clock, post(app, asked));
  expect([status, body.error.message]).toEqual([
    400,
    `The provider refused this request: Bad function ${name}: no type.`,
  ]);
});
