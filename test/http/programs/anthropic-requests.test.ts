import { describe, expect, it } from 'vitest';
import { eventsIn } from '../../support/events.ts';
import {
  CLIENT_TOKEN,
  MODEL,
  shareForPrograms,
  startForPrograms,
  UNTOUCHED,
  WORDS,
} from '../../support/programs.ts';
import { type App, flow } from '../../support/start-app.ts';

const shared = shareForPrograms();

const PATH = '/v1/messages';
const COUNT = '/v1/messages/count_tokens';
const TOKEN = { 'x-api-key': CLIENT_TOKEN };
const HI = { role: 'user', content: 'Hi' };
const ASKED = { model: MODEL, max_tokens: 100, messages: [HI] };
const TOOL = { name: 'weather', input_schema: { type: 'object' } };
const use = (id: string) => ({ type: 'tool_use', id, name: 'weather', input: {} });
const used = (...ids: string[]) => ({ role: 'assistant', content: ids.map(use) });
const result = (id: string) => ({ type: 'tool_result', tool_use_id: id, content: 'cold' });
const user = (...content: unknown[]) => ({ role: 'user', content });
const saying = (...messages: unknown[]) => ({ ...ASKED, messages });

const nested = (levels: number): object =>
  Array.from({ length: levels }).reduce<object>((inner) => ({ a: inner }), {});

const post = (app: App, body: unknown, headers: Record<string, string> = TOKEN, path = PATH) =>
  app.post(path, body, headers);

/** What Claude Code 2.1 sends for `claude -p`, with shortened texts and tools. */
const CLAUDE_CODE = {
  path: '/v1/messages?beta=true',
  headers: {
    accept: 'application/json',
    authorization: `Bearer ${CLIENT_TOKEN}`,
    'user-agent': 'claude-cli/2.1.197 (external, sdk-cli)',
    'x-stainless-retry-count': '0',
    'x-stainless-timeout': '600',
    'anthropic-beta':
      'claude-code-20250219,interleaved-thinking-2025-05-14,thinking-token-count-2026-05-13,context-management-2025-06-27,prompt-caching-scope-2026-01-05,mid-conversation-system-2026-04-07,effort-2025-11-24',
    'anthropic-dangerous-direct-browser-access': 'true',
    'anthropic-version': '2023-06-01',
    'x-app': 'cli',
  },
  body: {
    model: MODEL,
    messages: [
      {
        role: 'user',
        content: [
          { type: 'text', text: '<system-reminder>\nToday is Monday.\n</system-reminder>' },
          { type: 'text', text: 'hi', cache_control: { type: 'ephemeral' } },
        ],
      },
      { role: 'system', content: 'Available agent types for the Agent tool: claude' },
    ],
    system: [
      {
        type: 'text',
        text: 'x-anthropic-billing-header: cc_version=2.1.197.0df; cc_entrypoint=sdk-cli;',
      },
      { type: 'text', text: 'You are a Claude agent.', cache_control: { type: 'ephemeral' } },
    ],
    tools: [
      {
        name: 'Bash',
        description: 'Runs a command.',
        input_schema: {
          $schema: 'https://json-schema.org/draft/2020-12/schema',
          type: 'object',
          properties: { command: { type: 'string' } },
          required: ['command'],
          additionalProperties: false,
        },
        eager_input_streaming: true,
      },
      { ...TOOL, name: 'mcp__weather server__now', defer_loading: true },
      { type: 'tool_search_tool_regex_20251119', name: 'tool_search_tool_regex' },
    ],
    metadata: { user_id: '{"device_id":"af45","session_id":"fd97"}' },
    max_tokens: 32_000,
    thinking: { type: 'adaptive' },
    context_management: { edits: [{ type: 'clear_thinking_20251015', keep: 'all' }] },
    output_config: { effort: 'high' },
    stream: true,
  },
};

describe('Claude Code', () => {
  it('is answered in events', async () => {
    const app = await startForPrograms(null, { text: WORDS, thoughts: 'A greeting.' });
    const { path, headers, body } = CLAUDE_CODE;
    const answer = await app.post(path, body, { ...headers, 'x-request-id': 'said-hi' });
    expect(answer.headers.get('content-type')).toBe('text/event-stream');
    expect(answer.headers.get('request-id')).toBe('said-hi');
    const events = eventsIn(answer.text);
    expect(events.every(({ event, data }) => event === data.type)).toBe(true);
    expect(events[0]?.data.message).toMatchObject({ id: 'msg_said-hi', content: [] });
    const deltas = events.flatMap(({ data: { delta = {} } }) => delta);
    expect(deltas.map(({ text }) => text ?? '').join('')).toBe(WORDS);
    expect(deltas.map(({ thinking }) => thinking ?? '').join('')).toBe('A greeting.');
    expect(app.standin.calls.at(-1)?.body).toMatchObject({
      systemInstruction: { parts: [{ text: 'You are a Claude agent.' }] },
      contents: [
        {
          role: 'user',
          parts: [
            { text: '<system-reminder>\nToday is Monday.\n</system-reminder>' },
            { text: 'hi' },
            {
              text: '<system-reminder>\nAvailable agent types for the Agent tool: claude\n</system-reminder>',
            },
          ],
        },
      ],
      tools: [
        { functionDeclarations: [{ name: 'Bash' }, { name: expect.stringMatching(/^_mcp/) }] },
      ],
      generationConfig: {
        maxOutputTokens: 32_000,
        thinkingConfig: { thinkingBudget: 24_576, includeThoughts: true },
      },
    });
  });

  it('continues after a call, with thoughts, reminders and an answer that is split into messages', async () => {
    const app = shared();
    const { status } = await post(
      app,
      saying(
        HI,
        { role: 'assistant', content: [{ type: 'thinking', thinking: 'Hm.', signature: '' }] },
        used('a'),
        used('b'),
        user(result('b')),
        { role: 'system', content: 'Be quick.' },
        user({ type: 'text', text: 'Go on.' }, { ...result('a'), content: null }),
        { role: 'assistant', content: [{ type: 'text', text: '' }, use('c')] },
        user({
          ...result('c'),
          content: [{ type: 'tool_reference', tool_name: 'Read' }],
        }),
      ),
    );
    expect(status).toBe(200);
    expect(app.standin.calls.at(-1)?.body).toMatchObject({
      contents: [
        { role: 'user', parts: [{ text: 'Hi' }] },
        {
          role: 'model',
          parts: [{ text: 'Hm.', thought: true }, { functionCall: {} }, { functionCall: {} }],
        },
        {
          role: 'user',
          parts: [
            { functionResponse: { name: 'weather', response: { output: '' } } },
            { functionResponse: { name: 'weather', response: { output: 'cold' } } },
          ],
        },
        {
          role: 'user',
          parts: [{ text: '<system-reminder>\nBe quick.\n</system-reminder>' }, { text: 'Go on.' }],
        },
        { role: 'model', parts: [{ functionCall: {} }] },
        {
          role: 'user',
          parts: [{ functionResponse: { response: { output: 'The tool Read can be called.' } } }],
        },
      ],
    });
  });
});

describe('a message', () => {
  it.each<[string, unknown, string, RegExp]>([
    ['no body', '', 'model', /./],
    ['a list', [], '', /./],
    ['no model', { ...ASKED, model: undefined }, 'model', /Is missing/],
    ['no max_tokens', { ...ASKED, max_tokens: undefined }, 'max_tokens', /Is missing/],
    ['max_tokens of 0', { ...ASKED, max_tokens: 0 }, 'max_tokens', /./],
    ['no list of messages', { ...ASKED, messages: undefined }, 'messages', /Is missing/],
    ['no messages', { ...ASKED, messages: [] }, 'messages', /Must not be empty/],
    ['an unknown role', saying({ role: 'tool', content: 'x' }), 'messages.0', /user, assistant/],
    ['a blank message', saying({ role: 'user', content: ' ' }), 'messages', /must not be empty/],
    [
      'a prefilled answer',
      saying(HI, used('a'), user(result('a')), { role: 'assistant', content: '{' }),
      'messages',
      /cannot be continued/,
    ],
    ['the system alone', saying({ role: 'system', content: 'Hi' }), 'messages', /of the user/],
    ['an unknown block', saying(user({ type: 'video' })), 'messages.0.content', /text, image/],
    [
      'an unknown block of the assistant',
      saying(HI, { role: 'assistant', content: [{ type: 'image' }] }, HI),
      'messages.1.content.0.type',
      /text, thinking/,
    ],
    [
      'an image that is not base64',
      saying(
        user({ type: 'image', source: { type: 'base64', media_type: 'image/png', data: '%' } }),
      ),
      'messages.0.content',
      /base64/,
    ],
    [
      'an image of no address',
      saying(user({ type: 'image', source: { type: 'url', url: 'file:///etc/passwd' } })),
      'messages.0.content',
      /http/,
    ],
    [
      'an uploaded file',
      saying(user({ type: 'document', source: { type: 'file', file_id: 'file_1' } })),
      'messages.0.content',
      /base64, url, text/,
    ],
    [
      'a result of no call',
      saying(user(result('a'))),
      'messages.0.content.0.tool_use_id',
      /no tool_use/,
    ],
    [
      'a call without its result',
      saying(HI, used('a', 'b'), user(result('a'))),
      'messages.1.content.1.id',
      /This call has no result/,
    ],
    [
      'two results of a call',
      saying(HI, used('a'), user(result('a'), result('a'))),
      'messages.2.content.1.tool_use_id',
      /already has its result/,
    ],
    [
      'two calls of one id',
      saying(HI, used('a', 'a'), user(result('a'))),
      'messages.1.content.1.id',
      /Another call has the same id/,
    ],
    [
      'an input that is too deep',
      saying(
        HI,
        { role: 'assistant', content: [{ ...use('a'), input: nested(51) }] },
        user(result('a')),
      ),
      'messages.1.content',
      /nest/,
    ],
    ['six stop sequences', { ...ASKED, stop_sequences: [...'abcdef'] }, 'stop_sequences', /most 5/],
    ['an unknown way to think', { ...ASKED, thinking: { type: 'deep' } }, 'thinking', /adaptive/],
    [
      'a tool without a schema',
      { ...ASKED, tools: [{ name: 'w' }] },
      'tools.0.input_schema',
      /missing/,
    ],
    [
      "a tool of Anthropic's",
      { ...ASKED, tools: [{ type: 'bash_20250124', name: 'bash' }] },
      'tools.0.type',
      /bash_20250124 is not supported/,
    ],
    [
      'a schema that refers to itself',
      { ...ASKED, tools: [{ name: 'w', input_schema: { properties: { a: { $ref: '#' } } } }] },
      'tools.0.input_schema',
      /refer to itself/,
    ],
    [
      'a search of some domains',
      {
        ...ASKED,
        tools: [
          { type: 'web_search_20250305', name: 'web_search', allowed_domains: ['a.example'] },
        ],
      },
      'tools.0.allowed_domains',
      /not supported/,
    ],
    [
      'a choice of no tool',
      { ...ASKED, tools: [TOOL], tool_choice: { type: 'tool', name: 'other' } },
      'tool_choice',
      /no such tool/,
    ],
    [
      'a choice without tools',
      { ...ASKED, tool_choice: { type: 'any' } },
      'tool_choice',
      /no such/,
    ],
    ['servers of MCP', { ...ASKED, mcp_servers: [{ url: 'x' }] }, 'mcp_servers', /MCP/],
    ['a container', { ...ASKED, container: 'c1' }, 'container', /stores nothing/],
    ['another parameter', { ...ASKED, top_a: 1 }, 'top_a', /not supported/],
  ])('with %s is refused by name, in its own form', async (_, body, path, sentence) => {
    const app = shared();
    const answer = await post(app, body);
    const { type, error, request_id } = answer.body;
    expect([answer.status, type, error.type]).toEqual([400, 'error', 'invalid_request_error']);
    expect(error.message.startsWith(path)).toBe(true);
    expect(error.message).toMatch(sentence);
    expect(request_id).toBe(answer.headers.get('request-id'));
    expect(app.standin.calls).toEqual([]);
    expect(await app.counts()).toEqual(UNTOUCHED);
  });

  it('may have parameters that change nothing', async () => {
    const { status } = await post(shared(), {
      ...ASKED,
      system: '',
      tools: [],
      tool_choice: { type: 'auto' },
      stop_sequences: [],
      mcp_servers: [],
      container: null,
      top_k: 0,
      temperature: null,
      service_tier: 'auto',
      cache_control: { type: 'ephemeral' },
      context_management: { edits: [] },
      speed: 'standard',
      inference_geo: 'global',
      unknown: null,
    });
    expect(status).toBe(200);
  });

  it('that is too large, of another type or of another method is refused in its own form', async () => {
    const app = await startForPrograms(null, {}, { environment: { MAX_BODY_MB: '1' } });
    const large = await post(app, { ...ASKED, system: 'x'.repeat(2 ** 20) });
    expect([large.status, large.body.error.type]).toEqual([413, 'request_too_large']);
    const text = await post(app, 'x', { ...TOKEN, 'content-type': 'text/plain' });
    expect([text.status, text.body.error.type]).toEqual([415, 'invalid_request_error']);
    const got = await app.get(PATH, TOKEN);
    expect([got.status, got.body.error.type]).toEqual([405, 'invalid_request_error']);
    const unknown = await app.get('/v1/messages/batches', TOKEN);
    expect([unknown.status, unknown.body.error.type]).toEqual([404, 'not_found_error']);
    const model = await post(app, { ...ASKED, model: 'claude-sonnet-4-5' });
    expect([model.status, model.body.error.type]).toEqual([404, 'not_found_error']);
    expect(model.body.error.message).toContain(MODEL);
  });

  it.each([
    ['no token', {}],
    ['a wrong one', { 'x-api-key': 'wrong-one' }],
  ])('with %s is refused in its own form', async (_, headers) => {
    const { status, body } = await post(shared(), ASKED, headers);
    expect([status, body.type, body.error.type]).toEqual([401, 'error', 'authentication_error']);
  });

  it('in which every key fails is an error of the server', async () => {
    const fault = { kind: 'reset' } as const;
    const app = await startForPrograms(fault, {}, { keys: { fault } });
    const { status, body } = await flow(app.clock, post(app, ASKED));
    expect([status, body.error.type]).toEqual([502, 'api_error']);
  });
});

describe('a count of tokens', () => {
  it('is refused as a message is, but needs no max_tokens', async () => {
    const app = shared();
    const { max_tokens: _, ...asked } = ASKED;
    const good = await post(app, asked, TOKEN, `${COUNT}?beta=true`);
    expect([good.status, good.body]).toEqual([200, { input_tokens: 1 }]);
    const bad = await post(app, { ...asked, messages: [] }, TOKEN, COUNT);
    expect([bad.status, bad.body.error.type]).toEqual([400, 'invalid_request_error']);
    for (const model of ['claude-sonnet-4-5', 'gemini-embedding-2']) {
      const { status, body } = await post(app, { ...asked, model }, TOKEN, COUNT);
      const message = `The model "${model}" is not served. Ask for one of: ${MODEL}.`;
      expect([status, body.error]).toEqual([404, { type: 'not_found_error', message }]);
    }
  });

  it.each([
    ['no JSON', 'counted'],
    ['another one', '{}'],
    ['a huge one', `{"a":"${'x'.repeat(2 ** 17)}"}`],
  ])('whose answer is %s is an error of the server', async (_, body) => {
    const app = await startForPrograms({ kind: 'raw', status: 200, body });
    const answer = await flow(app.clock, post(app, ASKED, TOKEN, COUNT));
    expect([answer.status, answer.body.error.type]).toEqual([502, 'api_error']);
  });
});

describe('the list of models', () => {
  it("is in Anthropic's form for its clients only", async () => {
    const app = shared();
    const version = { 'anthropic-version': '2023-06-01' };
    const page = await app.get('/v1/models?limit=1000', { ...TOKEN, ...version });
    expect(page.body).toEqual({
      data: [
        { type: 'model', id: MODEL, display_name: MODEL, created_at: expect.stringMatching(/Z$/) },
      ],
      has_more: false,
      first_id: MODEL,
      last_id: MODEL,
    });
    expect((await app.get('/v1/models', TOKEN)).body.object).toBe('list');
    const bearer = { authorization: `Bearer ${CLIENT_TOKEN}` };
    expect((await app.get('/v1/models', { ...bearer, ...version })).body.has_more).toBe(false);
    const google = { 'x-goog-api-key': CLIENT_TOKEN };
    expect((await app.get('/v1/models', google)).body).toHaveProperty('models');
  });
});
