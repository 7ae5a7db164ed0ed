import type { UIMessage } from 'ai';
import { describe, expect, it, vi } from 'vitest';
import type { Fault } from '../../standin/fault.ts';
import type { AnswerShape, StandinKey } from '../../standin/standin-key.ts';
import {
  AI_CLIENTS,
  type AiClient,
  CLIENTS_WITH_APPROVALS,
  createChat,
} from '../support/ai-clients.ts';
import { eventsIn } from '../support/events.ts';
import { type App, flow, startApp } from '../support/start-app.ts';
import { writeToolsFile } from '../support/tools-file.ts';
import { whileTimePasses } from '../support/while-time-passes.ts';

const SIGNATURE = Buffer.from('a thought of the stand-in').toString('base64');
const PIXEL =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

const CITY = {
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
};
const TOOLS = [
  { name: 'weather', description: 'The weather of a city.', parameters: CITY },
  { name: 'clock' },
  { name: 'remove', parameters: CITY, needsApproval: true },
];
const call = (name: string, args = {}) => ({ name, args });

function startWith(
  answer: AnswerShape,
  environment: Record<string, string> = { CHAT_TOOLS: writeToolsFile(TOOLS) },
  key: Partial<StandinKey> = {},
) {
  return startApp({
    environment: { GOOGLE_API_KEY: 'g-one', ...environment },
    standin: { answer, keys: [{ key: 'g-one', service: 'google', ...key }] },
  });
}

const contentsOf = (app: App) =>
  (app.standin.calls.at(-1)?.body as { contents: unknown } | undefined)?.contents;

/** Long enough for a busy machine. */
const soon = (check: () => void) => vi.waitFor(check, { timeout: 10_000 });

type ToolPart = Extract<UIMessage['parts'][number], { toolCallId: string }>;
type Run = (call: { toolName: string; toolCallId: string; input: unknown }) => unknown;

/** A page with tools: it runs each available call at once, and sends the output without a click. */
function openPage(app: App, client: AiClient, run: Run) {
  const ran: string[] = [];
  const chat = createChat(client, {
    transport: new client.DefaultChatTransport({ api: `${app.url}/api/chat` }),
    sendAutomaticallyWhen: (options) =>
      client.lastAssistantMessageIsCompleteWithToolCalls(options) || isAnswered(client, options),
    onToolCall({ toolCall }) {
      ran.push(toolCall.toolName);
      const { toolName: tool, toolCallId } = toolCall;
      try {
        void chat.addToolOutput({ tool, toolCallId, output: run(toolCall) });
      } catch (error) {
        const errorText = String(error);
        void chat.addToolOutput({ state: 'output-error', tool, toolCallId, errorText });
      }
    },
  });
  const parts = () => chat.lastMessage?.parts ?? [];
  return {
    chat,
    ran,
    parts,
    toolPart: () => parts().find((part): part is ToolPart => 'toolCallId' in part),
    texts: () => parts().flatMap((part) => (part.type === 'text' ? [part.text] : [])),
    say: (text: string) => whileTimePasses(app.clock, chat.sendMessage({ text })),
    /** Resolves when the chat waits for a person again. */
    async settles() {
      const isReady = soon(() => expect(['ready', 'error']).toContain(chat.status));
      await whileTimePasses(app.clock, isReady);
    },
  };
}

type Messages = { messages: UIMessage[] };
const isAnswered = (client: AiClient, options: Messages) =>
  'lastAssistantMessageIsCompleteWithApprovalResponses' in client &&
  (client as typeof import('ai')).lastAssistantMessageIsCompleteWithApprovalResponses(options);

const TWO_CALLS = { functionCalls: [call('weather', { city: 'Lisbon' }), call('clock')] };
const functionCall = (name: string, args = {}, signature: string | null = SIGNATURE) => ({
  functionCall: { name, args },
  ...(signature === null ? {} : { thoughtSignature: signature }),
});
const functionResponse = (name: string, response: object) => ({
  functionResponse: { name, response },
});
const model = (...parts: object[]) => ({ role: 'model', parts });
const user = (...parts: object[]) => ({ role: 'user', parts });

/** Version 5 drops the metadata of a file. */
const keepsSignatures = (client: AiClient) => client !== AI_CLIENTS[0]?.[1];

describe.each(AI_CLIENTS)('%s', (_name, client) => {
  it('runs the tools in the page, and goes on with their outputs and the signature', async () => {
    const app = await startWith(TWO_CALLS);
    const page = openPage(app, client, ({ toolName, input }) =>
      toolName === 'weather' ? { of: input, sky: 'clear' } : 'noon',
    );
    await page.say('How is Lisbon?');
    await page.settles();
    expect(page.chat.error).toBeUndefined();
    expect(page.ran).toEqual(['weather', 'clock']);
    expect(page.parts()).toMatchObject([
      { type: 'step-start' },
      { type: 'tool-weather', state: 'output-available', input: { city: 'Lisbon' } },
      { type: 'tool-clock', state: 'output-available', input: {}, output: 'noon' },
      { type: 'step-start' },
      { type: 'text', state: 'done' },
    ]);
    expect(app.standin.calls).toHaveLength(2);
    expect(app.standin.calls[0]?.body).toMatchObject({
      tools: [
        {
          functionDeclarations: [
            { name: 'weather', description: 'The weather of a city.', parametersJsonSchema: CITY },
            { name: 'clock' },
            { name: 'remove', parametersJsonSchema: CITY },
          ],
        },
      ],
    });
    const firstStep = [
      user({ text: 'How is Lisbon?' }),
      model(functionCall('weather', { city: 'Lisbon' }), functionCall('clock', {}, null)),
      user(
        functionResponse('weather', { of: { city: 'Lisbon' }, sky: 'clear' }),
        functionResponse('clock', { result: 'noon' }),
      ),
    ];
    expect(contentsOf(app)).toEqual(firstStep);
    const [said = ''] = page.texts();

    await page.say('And now?');
    await page.settles();
    expect(page.chat.error).toBeUndefined();
    expect(contentsOf(app)).toEqual([
      ...firstStep,
      model({ text: said }),
      user({ text: 'And now?' }),
      ...firstStep.slice(1),
    ]);
  });

  it('goes on with the error of a tool that failed', async () => {
    const app = await startWith({ functionCalls: [call('clock')] });
    const page = openPage(app, client, () => {
      throw new RangeError('no clock here');
    });
    await page.say('What time is it?');
    await page.settles();
    expect(page.chat.error).toBeUndefined();
    expect(contentsOf(app)).toEqual([
      user({ text: 'What time is it?' }),
      model(functionCall('clock')),
      user(functionResponse('clock', { error: 'RangeError: no clock here' })),
    ]);
  });

  it('shows thoughts before the first word, and sends no unsigned thoughts back', async () => {
    const app = await startWith(
      { thoughts: 'Hmm, easy.', text: 'one two', chunks: 2, chunkMs: 5000, cachedTokens: 1 },
      { CHAT_REASONING: 'true' },
    );
    const page = openPage(app, client, () => null);
    const sent = page.chat.sendMessage({ text: 'Hi' });
    await soon(() => expect(page.parts()).toHaveLength(2));
    expect(page.parts()).toMatchObject([
      { type: 'step-start' },
      { type: 'reasoning', text: 'Hmm, ', state: 'streaming' },
    ]);
    await whileTimePasses(app.clock, sent, 200);
    expect(page.parts()).toMatchObject([
      { type: 'step-start' },
      { type: 'reasoning', text: 'Hmm, easy.', state: 'done' },
      { type: 'text', text: 'one two', state: 'done' },
    ]);
    expect(page.chat.lastMessage?.metadata).toMatchObject({
      usage: {
        inputTokens: 1,
        outputTokens: 5,
        totalTokens: 6,
        cachedInputTokens: 1,
        reasoningTokens: 3,
      },
    });
    await whileTimePasses(app.clock, page.chat.sendMessage({ text: 'On' }), 200);
    expect(contentsOf(app)).toEqual([
      user({ text: 'Hi' }),
      model({ text: 'one two' }),
      user({ text: 'On' }),
    ]);
  });

  it('sends each signature back with its part, and the generated images', async () => {
    const image = { mimeType: 'image/png', data: PIXEL };
    const parts = [
      { text: 'I ', thought: true },
      { text: 'think.', thought: true, thoughtSignature: 'c2lnbjE=' },
      { text: 'Let me think again.', thought: true },
      { text: 'See' },
      { text: ': ' },
      { text: '', thoughtSignature: 'c2lnbjI=' },
      { inlineData: image, thoughtSignature: 'c2lnbjM=' },
      { text: 'Nice?' },
    ];
    const app = await startWith(
      {},
      { CHAT_REASONING: 'true' },
      { fault: answersWith(...parts.map((part) => [part])) },
    );
    const page = openPage(app, client, () => null);
    await page.say('Draw');
    expect(page.chat.error).toBeUndefined();
    expect(page.parts().map(({ type }) => type)).toEqual([
      'step-start',
      'reasoning',
      'reasoning',
      'text',
      'file',
      'text',
    ]);
    app.standin.setFault('g-one', null);
    await page.say('Yes');
    expect(contentsOf(app)).toEqual([
      user({ text: 'Draw' }),
      model(
        { text: 'I think.', thought: true, thoughtSignature: 'c2lnbjE=' },
        { text: 'See: ', thoughtSignature: 'c2lnbjI=' },
        keepsSignatures(client)
          ? { inlineData: image, thoughtSignature: 'c2lnbjM=' }
          : { inlineData: image },
        { text: 'Nice?' },
      ),
      user({ text: 'Yes' }),
    ]);
  });

  it('goes on with its chat after the model has called what nobody has declared', async () => {
    const app = await startWith({ functionCalls: [call('teleport', { city: 'Oslo' })] });
    const page = openPage(app, client, () => null);
    for (const said of ['Take me to Oslo', 'Go on']) {
      await page.say(said);
      expect(page.chat.error).toBeUndefined();
      expect(page.parts()).toMatchObject([
        { type: 'step-start' },
        { type: 'text', text: expect.stringContaining('"teleport", which does not exist') },
      ]);
    }
    expect(page.ran).toEqual([]);
  });

  it('reads the sources of a search', async () => {
    const sources = [
      { uri: 'https://example.com/a', title: 'A page' },
      { uri: 'https://example.com/b' },
    ];
    const app = await startWith({ text: 'found', sources }, { CHAT_GROUNDING: 'true' });
    const page = openPage(app, client, () => null);
    await page.say('Search');
    expect(page.chat.error).toBeUndefined();
    expect(app.standin.calls.at(-1)?.body).toMatchObject({ tools: [{ googleSearch: {} }] });
    const { requestId } = Object(page.chat.lastMessage?.metadata);
    expect(page.parts()).toMatchObject([
      { type: 'step-start' },
      { type: 'text', text: 'found', state: 'done' },
      { type: 'source-url', sourceId: `${requestId}-1`, url: sources[0]?.uri, title: 'A page' },
      { type: 'source-url', sourceId: `${requestId}-2`, url: sources[1]?.uri },
    ]);
    await page.say('More');
    expect(page.chat.error).toBeUndefined();
  });

  it.each<[string, string, string, RegExp]>([
    ['nothing', 'STOP', 'other', /^I have no answer to that/],
    ['blocked content', 'SAFETY', 'content-filter', /^I can't help with that/],
  ])('reads a sentence where thoughts are followed by %s', async (_, finish, reason, sentence) => {
    const app = await startWith(
      {},
      { CHAT_REASONING: 'true' },
      { fault: answersWith([{ text: 'Hm.', thought: true }], [finish]) },
    );
    const page = openPage(app, client, () => null);
    await page.say('Hi');
    expect(page.chat.error).toBeUndefined();
    expect(page.parts()).toMatchObject([
      { type: 'step-start' },
      { type: 'reasoning', text: 'Hm.', state: 'done' },
      { type: 'text', text: expect.stringMatching(sentence), state: 'done' },
    ]);
    const { text } = await flow(app.clock, app.post('/api/chat', asking('Hi')));
    expect(eventsIn(text).find(({ data }) => data.type === 'finish')).toMatchObject({
      data: { finishReason: reason },
    });
  });
});

describe.each(CLIENTS_WITH_APPROVALS)('%s', (_name, client) => {
  const startRemoval = async () => {
    const app = await startWith({ functionCalls: [call('remove', { city: 'Atlantis' })] });
    const page = openPage(app, client, () => ({ removed: true }));
    await page.say('Remove Atlantis');
    const part = page.toolPart();
    expect(page.chat.error).toBeUndefined();
    expect(part).toMatchObject({
      type: 'tool-remove',
      state: 'approval-requested',
      input: { city: 'Atlantis' },
    });
    expect(page.ran).toEqual([]);
    const id = part?.state === 'approval-requested' ? part.approval.id : '';
    return { app, page, id };
  };
  const ASKED = [
    user({ text: 'Remove Atlantis' }),
    model(functionCall('remove', { city: 'Atlantis' })),
  ];

  it('runs a tool that needs approval only once it is approved', async () => {
    const { app, page, id } = await startRemoval();
    await page.chat.addToolApprovalResponse({ id, approved: true });
    await soon(() => expect(page.ran).toEqual(['remove']));
    await soon(() => expect(app.standin.calls).toHaveLength(2));
    await page.settles();
    expect(page.chat.error).toBeUndefined();
    expect(page.toolPart()).toMatchObject({
      state: 'output-available',
      output: { removed: true },
      approval: { id, approved: true },
    });
    expect(page.texts()).toEqual([expect.stringMatching(/^You said/)]);
    expect(contentsOf(app)).toEqual([
      ...ASKED,
      user(functionResponse('remove', { removed: true })),
    ]);
    expect(page.chat.messages).toHaveLength(2);
  });

  it('runs the tools beside one that needs approval at once, and sends all outputs together', async () => {
    const app = await startWith({
      functionCalls: [call('clock'), call('remove', { city: 'Atlantis' })],
    });
    const page = openPage(app, client, ({ toolName }) => toolName);
    await page.say('Remove it at noon');
    expect(page.ran).toEqual(['clock']);
    expect(app.standin.calls).toHaveLength(1);
    const asked = page.parts().find((part) => part.type === 'tool-remove');
    const id = asked !== undefined && 'approval' in asked ? (asked.approval?.id ?? '') : '';
    await page.chat.addToolApprovalResponse({ id, approved: true });
    await soon(() => expect(app.standin.calls).toHaveLength(2));
    await page.settles();
    expect(page.chat.error).toBeUndefined();
    expect(page.ran).toEqual(['clock', 'remove']);
    expect(contentsOf(app)).toEqual([
      user({ text: 'Remove it at noon' }),
      model(functionCall('clock'), functionCall('remove', { city: 'Atlantis' }, null)),
      user(
        functionResponse('clock', { result: 'clock' }),
        functionResponse('remove', { result: 'remove' }),
      ),
    ]);
  });

  it('goes on without running a tool that was denied, and says why', async () => {
    const { app, page, id } = await startRemoval();
    await page.chat.addToolApprovalResponse({ id, approved: false, reason: 'I live there.' });
    await soon(() => expect(app.standin.calls).toHaveLength(2));
    await page.settles();
    expect(page.chat.error).toBeUndefined();
    expect(page.ran).toEqual([]);
    expect(page.toolPart()).toMatchObject({ state: 'output-denied' });
    const error = 'The user denied this call. It was not executed.';
    const denial = user(functionResponse('remove', { error, reason: 'I live there.' }));
    expect(contentsOf(app)).toEqual([...ASKED, denial]);
    await page.say('Good');
    expect(contentsOf(app)).toMatchObject([...ASKED, denial, { role: 'model' }, { role: 'user' }]);
  });

  it('continues when a person writes instead of approving, and runs a call that is approved later', async () => {
    const { app, page, id } = await startRemoval();
    const first = page.chat.messages.at(-1)?.id ?? '';
    app.standin.setFault('g-one', answersWith([{ text: 'Fine.' }]));
    await page.say('Wait');
    expect(page.chat.error).toBeUndefined();
    const error = 'This call was not executed: the user went on without it.';
    expect(contentsOf(app)).toEqual([
      ...ASKED,
      user(functionResponse('remove', { error })),
      user({ text: 'Wait' }),
    ]);
    // The condition of the official client looks at the last message alone, which is another one now.
    await page.chat.addToolApprovalResponse({ id, approved: true });
    await whileTimePasses(app.clock, page.chat.sendMessage());
    expect(page.chat.error).toBeUndefined();
    expect(page.ran).toEqual(['remove']);
    const continued = page.chat.messages.find((message) => message.id === first);
    expect(continued?.parts.find((part) => 'toolCallId' in part)).toMatchObject({
      approval: { approved: true },
    });
  });
});

const toEvent = (value: unknown) => `data: ${JSON.stringify(value)}\r\n\r\n`;

/** Each list is one chunk of the answer; a list with a text alone is its finish reason. */
function answersWith(...chunks: readonly (readonly (object | string)[])[]): Fault {
  const events = chunks.map(([first, ...others]) =>
    typeof first === 'string'
      ? { candidates: [{ finishReason: first }] }
      : { candidates: [{ content: { role: 'model', parts: [first, ...others] } }] },
  );
  const isFinished = typeof chunks.at(-1)?.[0] === 'string';
  const last = isFinished ? [] : [{ candidates: [{ finishReason: 'STOP' }] }];
  return {
    kind: 'raw',
    status: 200,
    headers: { 'content-type': 'text/event-stream' },
    body: [...events, ...last].map(toEvent).join(''),
  };
}

const said = (text: string, id = 'u') => ({ id, role: 'user', parts: [{ type: 'text', text }] });
const asking = (text: string) => ({ id: 'c', trigger: 'submit-message', messages: [said(text)] });
const answered = (...parts: object[]) => ({ id: 'a', role: 'assistant', parts });
const toolPart = (more: object) => ({
  type: 'tool-weather',
  toolCallId: 'call-1',
  state: 'output-available',
  input: { city: 'Lisbon' },
  ...more,
});

describe('tools in UI messages', () => {
  const startTools = () => startWith({});
  const send = (app: App, messages: object[], more = {}, query = '') =>
    flow(app.clock, app.post(`/api/chat${query}`, { messages, ...more }));

  it.each<[string, object, object]>([
    ['a text', { output: 'clear' }, { result: 'clear' }],
    ['a list', { output: [1, 2] }, { result: [1, 2] }],
    ['nothing', {}, { result: null }],
    ['a list with such keys', { output: [{ $id: 1 }] }, { result: '[{"$id":1}]' }],
    [
      'keys that the provider refuses',
      { output: { a: { $ref: '#' } } },
      { result: '{"a":{"$ref":"#"}}' },
    ],
    [
      'an error without a text',
      { state: 'output-error', input: undefined },
      { error: 'The tool failed.' },
    ],
    [
      'a denial without a reason',
      { state: 'output-denied' },
      { error: 'The user denied this call. It was not executed.' },
    ],
  ])('may have %s for an output', async (_, more, response) => {
    const app = await startTools();
    const { status, text } = await send(app, [said('Hi'), answered(toolPart(more))]);
    expect([status, text]).toEqual([200, expect.stringContaining('"finish"')]);
    expect(contentsOf(app)).toMatchObject([
      user({ text: 'Hi' }),
      { role: 'model', parts: [{ functionCall: { name: 'weather' } }] },
      user(functionResponse('weather', response)),
    ]);
  });

  it('become one turn for each step, also dynamic ones, and incomplete calls are left out', async () => {
    const app = await startTools();
    const dynamic = { type: 'dynamic-tool', toolName: 'clock', input: {}, output: 'noon' };
    const history = answered(
      { type: 'step-start' },
      { type: 'text', text: 'Looking.' },
      toolPart({ output: 'clear', callProviderMetadata: { google: { thoughtSignature: 'YQ==' } } }),
      toolPart({ toolCallId: 'call-2', state: 'input-streaming', input: undefined }),
      { type: 'step-start' },
      toolPart({ toolCallId: 'call-3', ...dynamic }),
      { type: 'step-start' },
      { type: 'reasoning', text: 'Hm.' },
      { type: 'text', text: 'Clear at noon.' },
    );
    expect((await send(app, [said('Hi'), history, said('Thanks')])).status).toBe(200);
    expect(contentsOf(app)).toEqual([
      user({ text: 'Hi' }),
      model({ text: 'Looking.' }, functionCall('weather', { city: 'Lisbon' }, 'YQ==')),
      user(functionResponse('weather', { result: 'clear' })),
      model(functionCall('clock', {}, 'skip_thought_signature_validator')),
      user(functionResponse('clock', { result: 'noon' })),
      model({ text: 'Clear at noon.' }),
      user({ text: 'Thanks' }),
    ]);
  });

  it('are offered neither to plain text nor to other dialects, and no thoughts are asked for there', async () => {
    const app = await startWith(
      { text: 'Hi', thoughts: 'Hm.' },
      { CHAT_TOOLS: writeToolsFile(TOOLS), CHAT_REASONING: 'true' },
    );
    await send(app, [said('Hi')], {}, '?protocol=text');
    await send(app, [{ role: 'user', content: 'Hi' }]);
    await flow(app.clock, app.chat('Hi'));
    for (const { body } of app.standin.calls) {
      expect(Object.keys(body as object)).toEqual(['contents']);
    }
    expect(app.standin.calls).toHaveLength(3);
  });

  it('with an approved call come back at once, without a call to the provider', async () => {
    const app = await startTools();
    const approval = { id: 'approval-1', approved: true };
    const approved = toolPart({ state: 'approval-responded', approval });
    const { status, headers, text } = await send(app, [said('Hi'), answered(approved)]);
    expect([status, headers.get('x-vercel-ai-ui-message-stream')]).toEqual([200, 'v1']);
    expect(eventsIn(text).map(({ data }) => data)).toEqual([
      { type: 'start' },
      {
        type: 'tool-input-available',
        toolCallId: 'call-1',
        toolName: 'weather',
        input: { city: 'Lisbon' },
      },
      { type: 'finish', finishReason: 'tool-calls' },
      '[DONE]',
    ]);
    expect(app.standin.calls).toEqual([]);
    expect(app.clock.pendingTimers()).toBe(0);
    expect(app.logs.filter(({ path }) => path === '/api/chat')).toMatchObject([
      { level: 30, status: 200 },
    ]);
  });

  const NO_TOOL = /^messages\.1\.parts\.0: The server declares no tool of this name/;
  it.each<[string, object[], RegExp]>([
    ['a tool that was not declared', [answered(toolPart({ type: 'tool-shell' }))], NO_TOOL],
    [
      'a dynamic tool that was not declared',
      [answered(toolPart({ type: 'dynamic-tool', toolName: 'shell' }))],
      NO_TOOL,
    ],
    [
      'a dynamic tool without a name',
      [answered(toolPart({ type: 'dynamic-tool' }))],
      /^messages\.1\.parts\.0\.toolName: Is missing\.$/,
    ],
    [
      'an output for no call',
      [answered(toolPart({ input: undefined }))],
      /^messages\.1\.parts\.0\.input: Is missing\.$/,
    ],
    [
      'an output of the user',
      [said('On'), { role: 'user', parts: [toolPart({})] }],
      /^messages\.2\.parts\.0\.type: Only messages of the assistant may call tools\.$/,
    ],
    [
      'an unknown state',
      [answered(toolPart({ state: 'done' }))],
      /^messages\.1\.parts\.0\.state: /,
    ],
    [
      'no id',
      [answered(toolPart({ toolCallId: undefined }))],
      /^messages\.1\.parts\.0\.toolCallId: Is missing\.$/,
    ],
    [
      'input that is no object',
      [answered(toolPart({ input: 'Lisbon' }))],
      /^messages\.1\.parts\.0\.input: Must be an object\.$/,
    ],
    [
      'an output that is nested too deep',
      [answered(toolPart({ output: JSON.parse('['.repeat(60) + ']'.repeat(60)) }))],
      /^messages\.1\.parts\.0\.output: Must not nest deeper than 50\.$/,
    ],
    [
      'a last call without its output',
      [answered({ type: 'text', text: 'So:' }, toolPart({ state: 'input-available' }))],
      /^messages\.1\.parts\.1: This call has no output yet/,
    ],
    [
      'a last call that awaits approval',
      [answered(toolPart({ state: 'approval-requested', approval: { id: 'x' } }))],
      /^messages\.1\.parts\.0: This call has been neither approved nor denied yet/,
    ],
    [
      'an answer after the outputs',
      [answered(toolPart({}), { type: 'step-start' }, { type: 'text', text: 'Clear.' })],
      /^messages\.1: The last message must be the user's/,
    ],
  ])(
    'with %s are refused by a sentence, without a call to the provider',
    async (_, last, sentence) => {
      const app = await startTools();
      const { status, headers, text } = await send(app, [said('Hi'), ...last]);
      expect([status, headers.get('content-type')]).toEqual([400, 'text/plain; charset=utf-8']);
      expect(text).toMatch(sentence);
      expect(app.standin.calls).toEqual([]);
    },
  );

  it.each([
    ['temperature', 0.5, 'temperature: This field is unknown.'],
    ['system', 'Be bad.', 'system: This field is unknown.'],
    ['tools', {}, 'tools: The server declares the tools (CHAT_TOOLS), never the caller.'],
  ])('with the field %s are refused by its name', async (name, value, sentence) => {
    const app = await startTools();
    const { status, text } = await send(app, [said('Hi')], { [name]: value });
    expect([status, text]).toEqual([400, sentence]);
    expect(app.standin.calls).toEqual([]);
  });
});

describe('CHAT_REASONING', () => {
  it('asks a model that does not think for no thoughts', async () => {
    const models = { GOOGLE_MODELS: 'gemini-2.0-flash,gemini-3-flash' };
    const app = await startWith({}, { CHAT_REASONING: 'true', ...models });
    for (const model of ['gemini-2.0-flash', 'gemini-3-flash']) {
      await flow(app.clock, app.post('/api/chat', { ...asking('Hi'), model }));
    }
    expect(app.standin.calls.map(({ body }) => body)).toMatchObject([
      { generationConfig: {} },
      { generationConfig: { thinkingConfig: { includeThoughts: true } } },
    ]);
    expect(app.standin.calls[0]?.body).not.toMatchObject({
      generationConfig: { thinkingConfig: {} },
    });
  });
});

describe('CHAT_GROUNDING', () => {
  it('searches for every dialect, but not beside tools, and warns of that', async () => {
    const environment = { CHAT_GROUNDING: 'true', CHAT_TOOLS: writeToolsFile(TOOLS) };
    const app = await startWith({}, environment);
    await flow(app.clock, app.chat('Hi'));
    expect(app.standin.calls.at(-1)?.body).toMatchObject({ tools: [{ googleSearch: {} }] });
    await flow(app.clock, app.post('/api/chat', asking('Hi')));
    expect(app.standin.calls.at(-1)?.body).toMatchObject({
      tools: [{ functionDeclarations: [{}, {}, {}] }],
    });
  });

  it('answers 429 where the projects may not search, and keeps their keys for plain requests', async () => {
    const app = await startWith({}, { CHAT_GROUNDING: 'true' }, { refusesSearch: true });
    const { status, text } = await flow(app.clock, app.post('/api/chat', asking('Hi')));
    expect([status, text]).toEqual([429, expect.any(String)]);
    expect(await app.counts()).toMatchObject({ available: 1 });
  });
});
