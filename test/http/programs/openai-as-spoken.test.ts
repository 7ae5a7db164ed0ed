import { describe, expect, it } from 'vitest';
import type { AnswerShape } from '../../../standin/standin-key.ts';
import {
  CLIENT_TOKEN,
  MODEL,
  shareForPrograms,
  startForPrograms,
  UNTOUCHED,
  WORDS,
} from '../../support/programs.ts';
import type { App } from '../../support/start-app.ts';

/** Models of both generations, an alias, and models that accept no effort. */
const MODELS = [
  MODEL,
  'gemini-2.5-flash',
  'gemini-2.5-pro',
  'gemini-3-flash-preview',
  'gemini-3-pro-preview',
  'gemini-2.5-flash-image',
  'gemini-3-pro-image-preview',
  'gemini-2.0-flash',
];
const MORE = { environment: { GOOGLE_MODELS: MODELS.join(',') }, models: MODELS };
const shared = shareForPrograms({ chunks: 3, text: WORDS }, MORE);

const PNG = 'iVBORw0KGgo=';
const HI = { role: 'user', content: 'Hi' };
const call = (name: string, more = {}) => ({
  id: 'c',
  type: 'function',
  function: { name, arguments: '{}' },
  ...more,
});
const called = (...calls: object[]) => ({ role: 'assistant', content: null, tool_calls: calls });
const resultIs = (content: unknown) => ({ role: 'tool', tool_call_id: 'c', content });

const post = (app: App, body: object) =>
  app.post(
    '/v1/chat/completions',
    { model: MODEL, messages: [HI], ...body },
    { authorization: `Bearer ${CLIENT_TOKEN}` },
  );

interface Sent {
  readonly contents: readonly { readonly role: string; readonly parts: readonly object[] }[];
  readonly generationConfig: { readonly thinkingConfig?: object };
  readonly tools?: readonly { readonly functionDeclarations?: readonly Declared[] }[];
  readonly [field: string]: unknown;
}
interface Declared {
  readonly name: string;
  readonly parametersJsonSchema?: object;
}

/** The request that Google gets. */
async function sentFor(body: object): Promise<Sent> {
  const app = shared();
  const { status, text } = await post(app, body);
  expect([status, text]).toEqual([200, expect.any(String)]);
  return app.standin.calls.at(-1)?.body as unknown as Sent;
}

const partsFor = async (...content: object[]) =>
  (await sentFor({ messages: [{ role: 'user', content }] })).contents[0]?.parts;

/** The deltas of a stream put together, and the answer as a whole. */
async function answersOf(app: App, body: object) {
  const { text } = await post(app, { ...body, stream: true });
  const deltas = text
    .split('\n\n')
    .filter((event) => event.startsWith('data: {'))
    .map((event) => JSON.parse(event.slice('data: '.length)).choices[0].delta);
  const whole = (await post(app, body)).body;
  return { deltas, message: whole.choices[0].message, usage: whole.usage };
}

describe('the parts of a message', () => {
  const inline = (mimeType: string, data: string) => ({ inlineData: { mimeType, data } });
  const file = (fileUri: string, mimeType?: string) => ({
    fileData: { fileUri, ...(mimeType === undefined ? {} : { mimeType }) },
  });

  it.each<[string, object, object]>([
    [
      'an image at an address goes on as a file that Google fetches',
      { type: 'image_url', image_url: { url: 'https://a.example/b.JPG?w=1', detail: 'low' } },
      file('https://a.example/b.JPG?w=1', 'image/jpeg'),
    ],
    [
      'an address that does not show what it leads to has no type',
      { type: 'image_url', image_url: 'http://a.example/b' },
      file('http://a.example/b'),
    ],
    [
      'a video is a file too',
      { type: 'video_url', video_url: { url: 'https://www.youtube.com/watch?v=abc' } },
      file('https://www.youtube.com/watch?v=abc'),
    ],
    [
      'a document at an address',
      { type: 'file', file: { filename: 'a.pdf', file_data: 'https://a.example/a.pdf' } },
      file('https://a.example/a.pdf', 'application/pdf'),
    ],
    [
      'an image in place of the object',
      { type: 'image_url', image_url: `data:image/png;base64,${PNG}` },
      inline('image/png', PNG),
    ],
    [
      'base64 in lines is put together',
      { type: 'image_url', image_url: { url: 'data:image/jpg;base64,iVBO\r\nRw0K\n Ggo=\n' } },
      inline('image/jpeg', PNG),
    ],
    [
      'base64 of the other alphabet',
      { type: 'image_url', image_url: { url: 'data:image/png;base64,_-8=' } },
      inline('image/png', '_-8='),
    ],
    [
      'a sound',
      { type: 'input_audio', input_audio: { data: 'UklGRg==', format: 'wav' } },
      inline('audio/wav', 'UklGRg=='),
    ],
    [
      'a sound as a data URL',
      { type: 'input_audio', input_audio: { data: 'data:audio/mp3;base64,SUQz', format: 'mp3' } },
      inline('audio/mp3', 'SUQz'),
    ],
  ])('%s', async (_, part, expected) => {
    expect(await partsFor(part)).toEqual([expected]);
    expect(await shared().counts()).toEqual(UNTOUCHED);
  });

  it('an image of 15 MB in lines of 76 letters arrives whole', async () => {
    const app = shared();
    const lines = 200_000;
    const url = `data:image/png;base64,${`${'A'.repeat(76)}\r\n`.repeat(lines)}`;
    const content = [{ type: 'image_url', image_url: { url } }];
    expect((await post(app, { messages: [{ role: 'user', content }] })).status).toBe(200);
    const length = app.standin.calls.at(-1)?.bodyLength ?? 0;
    expect(length - lines * 76).toBeGreaterThan(0);
    expect(length - lines * 76).toBeLessThan(500);
  });

  it('two messages of the user in a row, and a refusal and an image of the assistant', async () => {
    const { contents } = await sentFor({
      messages: [
        HI,
        HI,
        {
          role: 'assistant',
          content: [{ type: 'refusal', refusal: 'I would rather not.' }],
          refusal: null,
          annotations: [],
          images: [
            {
              type: 'image_url',
              image_url: { url: `data:image/png;base64,${PNG}` },
              extra_content: { google: { thought_signature: 'c2ln' } },
              index: 0,
            },
          ],
        },
        HI,
      ],
    });
    expect(contents.map(({ role }) => role)).toEqual(['user', 'user', 'model', 'user']);
    expect(contents[2]?.parts).toEqual([
      { text: 'I would rather not.' },
      { ...inline('image/png', PNG), thoughtSignature: 'c2ln' },
    ]);
  });

  it('images of a tool stand beside its result', async () => {
    const { contents } = await sentFor({
      messages: [
        HI,
        called(call('look')),
        resultIs([
          { type: 'text', text: '{"seen":' },
          { type: 'text', text: '"a cat"}' },
          { type: 'image_url', image_url: { url: `data:image/png;base64,${PNG}` } },
          { type: 'image_url', image_url: { url: 'https://a.example/b.webp' } },
        ]),
      ],
    });
    expect(contents[2]).toEqual({
      role: 'user',
      parts: [
        { functionResponse: { name: 'look', response: { seen: 'a cat' } } },
        inline('image/png', PNG),
        file('https://a.example/b.webp', 'image/webp'),
      ],
    });
  });
});

describe('the tools', () => {
  const NAME = `2-servers/get weather (${'long '.repeat(20)})`;
  const MAPPED = expect.stringMatching(/^_2-servers_get_weather__long_[\w-]*_[\da-f]{12}$/);
  const tool = (name: string, parameters?: object) => ({
    type: 'function',
    function: { name, ...(parameters === undefined ? {} : { parameters }) },
  });
  const declaredIn = ({ tools }: Sent) => tools?.[0]?.functionDeclarations ?? [];

  it('a long name of an MCP tool is replaced for Google only, in all places', async () => {
    const choice = { type: 'function', function: { name: NAME } };
    const sent = await sentFor({
      messages: [HI, called(call(NAME)), resultIs('cold')],
      tools: [tool(NAME), tool('plain')],
      tool_choice: choice,
    });
    const [{ name } = { name: '' }, plain] = declaredIn(sent);
    expect([name, plain?.name, name.length <= 64]).toEqual([MAPPED, 'plain', true]);
    expect(sent).toMatchObject({
      contents: [
        { role: 'user' },
        { parts: [{ functionCall: { name } }] },
        { parts: [{ functionResponse: { name } }] },
      ],
      toolConfig: { functionCallingConfig: { mode: 'ANY', allowedFunctionNames: [name] } },
    });
    const app = await startForPrograms(null, { functionCalls: [{ name, args: { city: 'Oslo' } }] });
    const { deltas, message } = await answersOf(app, { tools: [tool(NAME)] });
    const expected = { function: { name: NAME, arguments: '{"city":"Oslo"}' } };
    expect(message.tool_calls).toMatchObject([expected]);
    expect(deltas.flatMap(({ tool_calls: calls = [] }) => calls)).toMatchObject([expected]);
  });

  it('a schema reaches Google with an object as its root and without references', async () => {
    const place = { type: 'object', properties: { city: { type: 'string' } } };
    const sent = await sentFor({
      tools: [
        tool('zod', {
          $schema: 'https://json-schema.org/draft/2020-12/schema',
          $ref: '#/definitions/a~1b',
          definitions: { 'a/b': place },
        }),
        tool('pydantic', {
          properties: {
            from: { $ref: '#/$defs/Place', description: 'where' },
            $ref: { anyOf: [{ $ref: '#/$defs/Place' }, { type: 'null' }] },
          },
          $defs: { Place: place },
        }),
        tool('elsewhere', { properties: { a: { $ref: 'https://a.example/schema' } } }),
      ],
    });
    expect(declaredIn(sent).map((one) => one.parametersJsonSchema)).toEqual([
      place,
      {
        type: 'object',
        properties: {
          from: { ...place, description: 'where' },
          $ref: { anyOf: [place, { type: 'null' }] },
        },
      },
      { type: 'object', properties: { a: { $ref: 'https://a.example/schema' } } },
    ]);
  });

  it('a schema that would grow too large keeps its references', async () => {
    const twice = (name: string) => ({ items: [{ $ref: name }, { $ref: name }] });
    const levels = Array.from({ length: 40 }, (_, level) => [
      `d${level}`,
      level === 39 ? { type: 'string' } : twice(`#/$defs/d${level + 1}`),
    ]);
    const parameters = {
      type: 'object',
      ...twice('#/$defs/d0'),
      $defs: Object.fromEntries(levels),
    };
    const sent = await sentFor({ tools: [tool('wide', parameters)] });
    expect(declaredIn(sent)[0]?.parametersJsonSchema).toEqual(parameters);
  });

  it.each([
    ['nested', (allowed: object) => ({ type: 'allowed_tools', allowed_tools: allowed })],
    ['flat', (allowed: object) => ({ type: 'allowed_tools', ...allowed })],
  ])('allowed tools are the only ones that Google hears of (%s)', async (_, choiceOf) => {
    const allowed = [tool('a'), { type: 'function', name: 'c' }];
    for (const [mode, sentMode] of [
      ['auto', 'AUTO'],
      ['required', 'ANY'],
    ]) {
      const sent = await sentFor({
        tools: ['a', 'b', 'c'].map((name) => tool(name)),
        tool_choice: choiceOf({ mode, tools: allowed }),
      });
      expect(declaredIn(sent).map(({ name }) => name)).toEqual(['a', 'c']);
      expect(sent.toolConfig).toEqual({ functionCallingConfig: { mode: sentMode } });
    }
  });

  it('a response schema has no reference either', async () => {
    const schema = { properties: { a: { $ref: '#/$defs/A', title: 'one' } }, $defs: { A: {} } };
    const { generationConfig } = await sentFor({
      response_format: { type: 'json_schema', json_schema: { name: 'a', schema } },
    });
    expect(generationConfig).toMatchObject({
      responseJsonSchema: { properties: { a: { title: 'one' } } },
    });
  });
});

describe('an effort', () => {
  it.each<[string, Record<string, object | undefined>]>([
    ['gemini-flash-latest', { none: { thinkingBudget: 0 }, high: { thinkingBudget: 24_576 } }],
    ['gemini-2.5-flash', { none: { thinkingBudget: 0 }, medium: { thinkingBudget: 8192 } }],
    ['gemini-2.5-pro', { none: { thinkingBudget: 128 }, low: { thinkingBudget: 1024 } }],
    [
      'gemini-3-flash-preview',
      { none: { thinkingLevel: 'minimal' }, medium: { thinkingLevel: 'medium' } },
    ],
    ['gemini-3-pro-preview', { none: { thinkingLevel: 'low' }, xhigh: { thinkingLevel: 'high' } }],
    ['gemini-2.5-flash-image', { none: undefined, high: undefined }],
    ['gemini-3-pro-image-preview', { high: {} }],
    ['gemini-2.0-flash', { none: undefined, high: undefined }],
  ])('is what %s can do', async (model, expected) => {
    for (const [effort, thinkingConfig] of Object.entries(expected)) {
      const { generationConfig } = await sentFor({ model, reasoning_effort: effort });
      expect(generationConfig.thinkingConfig).toEqual(thinkingConfig);
    }
  });

  it('for a model that cannot think brings neither thoughts nor a refusal', async () => {
    const asked = { model: 'gemini-2.0-flash', reasoning: { effort: 'high' } };
    expect((await sentFor(asked)).generationConfig).toEqual({});
  });

  it('beside a seed of 64 bits: the same seed remains the same', async () => {
    const seeds = [2 ** 40 + 7, 2 ** 40 + 7, -1];
    const sent: unknown[] = [];
    for (const seed of seeds) sent.push((await sentFor({ seed })).generationConfig);
    expect(sent).toEqual([{ seed: 7 }, { seed: 7 }, { seed: -1 }]);
  });
});

describe('a cached content', () => {
  const CACHED = 'cachedContents/abc';
  const start = () =>
    startForPrograms(null, { text: WORDS }, { keys: { resources: [CACHED, 'files/photo'] } });
  const asked = { google: { cached_content: CACHED } };

  it('is used with a key of its project', async () => {
    const app = await start();
    expect((await post(app, asked)).status).toBe(200);
    expect(app.standin.calls.map(({ key }) => key)).toEqual(['g-one', 'g-two']);
    expect(app.standin.calls.at(-1)?.body).toMatchObject({ cachedContent: CACHED });
    expect(await app.counts()).toEqual(UNTOUCHED);
  });

  it.each([false, true])(
    'is used with that key at once where it was found before (streamed: %s)',
    async (stream) => {
      const app = await start();
      for (const more of [{}, asked, asked]) await post(app, { ...more, stream });
      expect(app.standin.calls.map(({ key }) => key)).toEqual(['g-one', 'g-two', 'g-two']);
    },
  );

  it('so is an uploaded file that a message names by its address', async () => {
    const app = await start();
    const url = 'https://generativelanguage.googleapis.com/v1beta/files/photo';
    const content = [{ type: 'image_url', image_url: { url } }];
    expect((await post(app, { messages: [{ role: 'user', content }] })).status).toBe(200);
  });

  it('that no project owns is a fault of the request', async () => {
    const app = await start();
    const extra_body = { google: { cachedContent: 'cachedContents/none' } };
    for (const calls of [2, 4]) {
      const { status, body } = await post(app, { extra_body });
      expect([status, body.error.message]).toEqual([400, expect.stringMatching(/^No key may use/)]);
      expect(app.standin.calls).toHaveLength(calls);
    }
    expect(await app.counts()).toEqual(UNTOUCHED);
  });
});

describe('an answer', () => {
  const start = (answer: AnswerShape) => startForPrograms(null, { chunks: 2, ...answer });

  it('has thoughts where they were asked for, and only there', async () => {
    const app = await start({ text: WORDS, thoughts: 'Let me think.' });
    const google = { thinking_config: { include_thoughts: true } };
    const { deltas, message, usage } = await answersOf(app, { google });
    expect(message).toMatchObject({ content: WORDS, reasoning_content: 'Let me think.' });
    expect(deltas.map((delta) => delta.reasoning_content ?? '').join('')).toBe('Let me think.');
    expect(deltas.map((delta) => delta.content ?? '').join('')).toBe(WORDS);
    expect(usage.completion_tokens_details.reasoning_tokens).toBeGreaterThan(0);
    const silent = await answersOf(app, { reasoning_effort: 'high' });
    expect([silent.message, ...silent.deltas].filter((one) => 'reasoning_content' in one)).toEqual(
      [],
    );
  });

  it('has the number of tokens that Google had cached', async () => {
    const app = await start({ text: WORDS, cachedTokens: 1 });
    const { body } = await post(app, {});
    expect(body.usage).toMatchObject({
      prompt_tokens: 1,
      prompt_tokens_details: { cached_tokens: 1 },
      completion_tokens_details: { reasoning_tokens: 0 },
    });
    const { text } = await post(app, { stream: true, usage: { include: true } });
    expect(text).toContain('"prompt_tokens_details":{"cached_tokens":1}');
  });

  it('has generated images beside its text, which come back in the next request', async () => {
    const app = await start({ text: WORDS, image: { mimeType: 'image/png', data: PNG } });
    const { deltas, message } = await answersOf(app, { modalities: ['image', 'text'] });
    expect(app.standin.calls.at(-1)?.body).toMatchObject({
      generationConfig: { responseModalities: ['IMAGE', 'TEXT'] },
    });
    const url = `data:image/png;base64,${PNG}`;
    expect(message).toMatchObject({
      content: WORDS,
      images: [{ type: 'image_url', image_url: { url }, index: 0 }],
    });
    expect(deltas.flatMap(({ images = [] }) => images)).toEqual(message.images);
    expect(deltas.map((delta) => delta.content ?? '').join('')).toBe(WORDS);
    await post(app, { messages: [HI, message, HI] });
    expect(app.standin.calls.at(-1)?.body).toMatchObject({
      contents: [{}, { parts: [{ text: WORDS }, { inlineData: { data: PNG } }] }, {}],
    });
  });

  it('cites the pages of a search', async () => {
    const sources = [{ uri: 'https://a.example/1', title: 'One' }, { uri: 'https://a.example/2' }];
    const app = await start({ text: WORDS, sources });
    const { deltas, message } = await answersOf(app, { web_search_options: {} });
    expect(app.standin.calls.at(-1)?.body).toMatchObject({ tools: [{ googleSearch: {} }] });
    const cited = { start_index: WORDS.length, end_index: WORDS.length };
    expect(message.annotations).toEqual([
      {
        type: 'url_citation',
        url_citation: { url: 'https://a.example/1', title: 'One', ...cited },
      },
      {
        type: 'url_citation',
        url_citation: { url: 'https://a.example/2', title: 'https://a.example/2', ...cited },
      },
    ]);
    expect(deltas.flatMap(({ annotations = [] }) => annotations)).toEqual(message.annotations);
  });
});
