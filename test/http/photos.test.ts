import { Chat } from '@ai-sdk/react';
import * as current from 'ai';
import * as strict from 'ai-v5';
import { describe, expect, it } from 'vitest';
import { type App, shareApp, startApp } from '../support/start-app.ts';
import { whileTimePasses } from '../support/while-time-passes.ts';

const MB = 2 ** 20;
const KEY = { GOOGLE_API_KEY: 'g-one' };
const standin = { answer: { chunks: 1, text: 'A dot.' }, longestBodyKept: 30 * MB };
const shared = shareApp({ environment: KEY, standin });

/** Its data URL is a third longer. */
function photoOf(bytes: number, name: string) {
  const data = Buffer.alloc(bytes, name).toString('base64');
  return { data, part: toFile('image/jpeg', data) };
}

const toFile = (mediaType: string, data: string) =>
  ({ type: 'file', mediaType, url: `data:${mediaType};base64,${data}` }) as const;

type Client = Pick<typeof current, 'DefaultChatTransport'>;

const CLIENTS: readonly [string, Client][] = [
  ['ai 5.0.150', strict as unknown as Client],
  ['ai 6', current],
];

function startChat(app: App, { DefaultChatTransport }: Client = current) {
  const errors: Error[] = [];
  const chat = new Chat({
    transport: new DefaultChatTransport({ api: `${app.url}/api/chat` }),
    onError: (error) => void errors.push(error),
  });
  /** @returns the error, or the request to the provider */
  async function say(text: string, ...files: readonly ReturnType<typeof toFile>[]) {
    await whileTimePasses(app.clock, chat.sendMessage({ text, files: [...files] }));
    return errors.shift()?.message ?? partsSent(app);
  }
  return { chat, say };
}

interface GoogleBody {
  readonly contents?: readonly {
    readonly role: string;
    readonly parts: readonly { readonly text?: string; readonly inlineData?: { data: string } }[];
  }[];
}

/** The user's turns in the last call to the provider, with the length of each image. */
function partsSent(app: App) {
  const body = (app.standin.calls.at(-1)?.body ?? {}) as GoogleBody;
  return body.contents
    ?.filter(({ role }) => role === 'user')
    .map(({ parts }) => parts.map(({ text, inlineData }) => text ?? inlineData?.data.length));
}

const LEFT_OUT =
  '[An earlier image was here. It has been left out, because the conversation is too large.]';

describe.each(CLIENTS)('with %s', (_, client) => {
  it('a photo of 6 MB is answered, and the conversation goes on for ten turns', async () => {
    const app = shared();
    const { say } = startChat(app, client);
    const photo = photoOf(6 * MB, 'photo');
    const first = [photo.data.length, 'What is this?'];
    expect(await say('What is this?', photo.part)).toEqual([first]);
    for (let turn = 1; turn < 10; turn += 1) {
      const earlier = Array.from({ length: turn - 1 }, (_, index) => [`Turn ${index + 1}`]);
      expect(await say(`Turn ${turn}`)).toEqual([first, ...earlier, [`Turn ${turn}`]]);
    }
  });

  it('a photo of 6 MB in every turn leaves the newest in the prompt, ten times', async () => {
    const app = shared();
    const { say } = startChat(app, client);
    const { data, part } = photoOf(6 * MB - 1000, 'photo');
    for (let turn = 1; turn <= 10; turn += 1) {
      const expected = Array.from({ length: turn }, (_, index) => [
        index < turn - 2 ? LEFT_OUT : data.length,
        `Photo ${index}`,
      ]);
      expect(await say(`Photo ${turn - 1}`, part)).toEqual(expected);
    }
  });
});

describe('images that exceed the limit', () => {
  const LIMITED = { ...KEY, MAX_BODY_MB: '1' };
  const limited = shareApp({ environment: LIMITED, standin });
  const medium = photoOf(400_000, 'medium');

  it('in the last message are refused, whatever the history holds, and the next message is answered', async () => {
    const app = limited();
    const { chat, say } = startChat(app);
    await say('First', medium.part);
    const refusal = await say('Three', medium.part, medium.part, medium.part);
    expect(refusal).toMatch(/^The body is larger than 1 MB\. Send shorter texts or smaller files/);
    expect(app.standin.calls).toHaveLength(1);
    chat.messages = chat.messages.slice(0, -1);
    expect(await say('And?')).toEqual([[medium.data.length, 'First'], ['And?']]);
  });

  it('belong to the last question until the user asks the next one, whatever the assistant has added', async () => {
    const app = limited();
    const messages = (...last: readonly object[]) => [
      { role: 'user', parts: [medium.part, medium.part, { type: 'text', text: 'What?' }] },
      { role: 'assistant', parts: [{ type: 'text', text: 'x'.repeat(100_000) }] },
      ...last,
    ];
    const answered = await app.post('/api/chat', { messages: messages() });
    expect([answered.status, answered.text]).toEqual([
      413,
      expect.stringMatching(/larger than 1 MB/),
    ]);
    const next = { role: 'user', parts: [{ type: 'text', text: 'Then?' }] };
    expect((await app.post('/api/chat', { messages: messages(next) })).status).toBe(200);
    expect(partsSent(app)).toEqual([[LEFT_OUT, medium.data.length, 'What?'], ['Then?']]);
  });

  it('are left out of a body of unknown length, in which their strings are cut anywhere', async () => {
    const app = limited();
    const file = toFile('application/pdf', Buffer.alloc(400_000).toString('base64'));
    const quoted = { type: 'text', text: `"url":"data:image/png;base64,${'A'.repeat(9000)}" \\` };
    const body = JSON.stringify({
      messages: [
        { role: 'user', parts: [quoted, { url: 'x\\"', type: 'text', text: 'data:,\\"' }, file] },
        {
          role: 'assistant',
          parts: [toFile('image/png', medium.data), { type: 'text', text: '!' }],
        },
        { role: 'user', parts: [medium.part, { type: 'text', text: 'So?' }] },
      ],
    }).replace('data:application/pdf', String.raw`data:application\/pdf`);
    const pieces = body.match(/.{1,9973}/g) ?? [];
    const response = await fetch(`${app.url}/api/chat`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: new Blob(pieces).stream(),
      duplex: 'half',
    });
    expect([response.status, await response.text()]).toEqual([200, expect.any(String)]);
    expect(partsSent(app)).toEqual([
      [quoted.text, 'data:,\\"', LEFT_OUT.replace('image', 'file')],
      [medium.data.length, 'So?'],
    ]);
  });

  it('beside a text that alone exceeds it stay, and the body is refused: no text is left out', async () => {
    const app = limited();
    const url = `data:image/png;base64,${'A'.repeat(MB)}`;
    const parts = [medium.part, { type: 'text', text: url }];
    const messages = [
      { role: 'user', parts },
      { role: 'user', parts: [{ type: 'text', text: '?' }] },
    ];
    expect((await app.post('/api/chat', { messages })).status).toBe(413);
    expect(app.standin.calls).toEqual([]);
  });

  it('by more than five times are refused before they are read', async () => {
    const app = limited();
    const messages = Array.from({ length: 11 }, () => ({ role: 'user', parts: [medium.part] }));
    const { status, text } = await app.post('/api/chat', { messages });
    expect([status, text]).toEqual([
      413,
      'The body is larger than 5 MB. Send shorter texts or smaller files. The limit is 5 times MAX_BODY_MB on the server.',
    ]);
  });
});

it('a hundred images in one message are answered', async () => {
  const app = await startApp({ environment: KEY, standin });
  const { data, part } = photoOf(100_000, 'small');
  const { say } = startChat(app);
  const sent = await say('What are these?', ...Array.from({ length: 100 }, () => part));
  expect(sent).toEqual([[...Array(100).fill(data.length), 'What are these?']]);
  expect(await app.counts()).toMatchObject({ total: 1, available: 1 });
});
