import { GoogleGenerativeAI, GoogleGenerativeAIFetchError } from '@google/generative-ai';
import { expect, test } from 'vitest';
import type { Standin } from '../../standin/standin.ts';
import { MODEL, withStandin } from './with-standin.ts';

const modelAt = (standin: Standin) =>
  new GoogleGenerativeAI('g1').getGenerativeModel(
    { model: MODEL, systemInstruction: 'Be brief.', generationConfig: { maxOutputTokens: 100 } },
    { baseUrl: standin.url },
  );

const KEYS = [{ key: 'g1', service: 'google', limits: { rpm: 2 } }] as const;

test('the legacy SDK gets a unary answer', async () => {
  const { standin } = await withStandin({ keys: KEYS });
  const { response } = await modelAt(standin).generateContent('hello');
  expect(response.text()).toBe('You said: hello');
  expect(response.usageMetadata?.promptTokenCount).toBe(4);
});

test('the legacy SDK gets a streamed answer, chunk by chunk and as a whole', async () => {
  const { standin } = await withStandin({ keys: KEYS });
  const chat = modelAt(standin).startChat({
    history: [
      { role: 'user', parts: [{ text: 'hi' }] },
      { role: 'model', parts: [{ text: 'hi' }] },
    ],
  });
  const { stream, response } = await chat.sendMessageStream('hello');
  const texts: string[] = [];
  for await (const chunk of stream) texts.push(chunk.text());
  expect(texts).toEqual(['You s', 'aid: ', 'hello']);
  expect((await response).text()).toBe('You said: hello');
});

test('the legacy SDK passes a refusal’s status and details on', async () => {
  const { standin } = await withStandin({ keys: KEYS });
  standin.setFault('g1', { kind: 'day_spent' });
  const refused = await modelAt(standin)
    .generateContent('hello')
    .catch((error) => error);
  expect(refused).toBeInstanceOf(GoogleGenerativeAIFetchError);
  expect(refused.status).toBe(429);
  expect(refused.errorDetails).toHaveLength(3);
});

test('the legacy SDK counts tokens', async () => {
  const { standin } = await withStandin({ keys: KEYS });
  expect((await modelAt(standin).countTokens('hello')).totalTokens).toBe(4);
});
