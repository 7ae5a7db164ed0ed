import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Chat } from '@ai-sdk/react';
import * as current from 'ai';
import * as strict from 'ai-v5';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  retrySentence,
  UnderstudyError,
  type UnderstudyMetadata,
  understudyFetch,
} from '../../examples/understudy-client.ts';
import type { Fault } from '../../standin/standin.ts';
import { startApp } from '../support/start-app.ts';

const HELLO = {
  id: 'm1',
  role: 'user' as const,
  parts: [{ type: 'text' as const, text: 'Hello' }],
};
const asked = {
  chatId: 'chat-1',
  trigger: 'submit-message' as const,
  messageId: undefined,
  messages: [HELLO],
  abortSignal: undefined,
};

const startWith = (fault: Fault | null = null) =>
  startApp({
    environment: { GOOGLE_API_KEY: 'g-one', ANAM_API_KEY: 'a-one' },
    standin: {
      keys: [
        { key: 'g-one', service: 'google', ...(fault === null ? {} : { fault }) },
        { key: 'a-one', service: 'anam', fault: { kind: 'bad_key' } },
      ],
    },
  });

describe('the helper for pages', () => {
  it('names all that the metadata of an answer has', async () => {
    const { url } = await startWith();
    const transport = new current.DefaultChatTransport<current.UIMessage<UnderstudyMetadata>>({
      api: `${url}/api/chat`,
      fetch: understudyFetch,
    });
    const chat = new Chat({ transport });
    await chat.sendMessage({ text: 'Hello' });
    const expected: UnderstudyMetadata = {
      model: 'gemini-flash-latest',
      requestId: expect.any(String),
      usage: {
        inputTokens: expect.any(Number),
        outputTokens: expect.any(Number),
        totalTokens: expect.any(Number),
        cachedInputTokens: expect.any(Number),
        reasoningTokens: expect.any(Number),
      },
    };
    expect(chat.lastMessage?.metadata).toEqual(expected);
  });

  it.each([
    ['AI SDK 5', (api: string) => new strict.DefaultChatTransport({ api, fetch: understudyFetch })],
    [
      'AI SDK 6',
      (api: string) => new current.DefaultChatTransport({ api, fetch: understudyFetch }),
    ],
  ])('gives a refusal its time, with the transport of %s', async (_, createTransport) => {
    const { url } = await startWith({ kind: 'leaked' });
    const transport = createTransport(`${url}/api/chat`);
    const error = await transport.sendMessages(asked).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(UnderstudyError);
    expect(error).toMatchObject({
      message: "I'm experiencing high demand right now. Please try again in a few minutes.",
      status: 503,
      code: null,
      requestId: expect.any(String),
      retryAfterSeconds: 3_600,
    });
    const { retryAt } = error as UnderstudyError;
    expect(retrySentence(error)).toBe(`Try again after ${retryAt?.toLocaleTimeString()}.`);
    // Of this machine's clock, which is not the server's in this test.
    expect(Math.abs((retryAt?.getTime() ?? 0) - Date.now() - 3_600_000)).toBeLessThan(60_000);
  });

  it("reads an avatar's refusal with its code", async () => {
    const { url } = await startWith();
    const refusal = understudyFetch(`${url}/api/anam/session-token`, { method: 'POST' });
    await expect(refusal).rejects.toMatchObject({
      message: 'All Anam API keys exhausted. Please try again later.',
      code: 'all_keys_exhausted',
      retryAfterSeconds: 3_600,
    });
  });

  it.each([
    ['text/html', '<h1>502 Bad Gateway</h1>'],
    ['application/json', '{"status": "down"}'],
    ['text/plain', ''],
  ])('shows no %s of a proxy that answers in our place', async (type, body) => {
    const proxy = createServer((_request, response) =>
      response.writeHead(502, { 'content-type': type }).end(body),
    );
    await new Promise<void>((listening) => proxy.listen(0, '127.0.0.1', listening));
    onTestFinished(() => void proxy.close());
    const { port } = proxy.address() as AddressInfo;
    const refusal = await understudyFetch(`http://127.0.0.1:${port}/api/chat`).catch(
      (thrown: unknown) => thrown,
    );
    expect(refusal).toMatchObject({
      message: 'The server answered with status 502.',
      retryAt: null,
      retryAfterSeconds: null,
    });
    expect(retrySentence(refusal)).toBe('');
  });
});
