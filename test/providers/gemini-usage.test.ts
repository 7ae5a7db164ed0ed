import { describe, expect, it } from 'vitest';
import { AnswerTail } from '../../src/providers/gemini/gemini-relay.ts';
import { toUsage } from '../../src/providers/gemini/gemini-stream.ts';

const event = (candidates: unknown, usageMetadata?: object) =>
  `data: ${JSON.stringify({ candidates, usageMetadata, modelVersion: 'flash' })}\r\n\r\n`;
const counted = (promptTokenCount: number) => ({
  promptTokenCount,
  candidatesTokenCount: 2,
  promptTokensDetails: [{ modality: 'TEXT', tokenCount: promptTokenCount }],
});
const pretty = JSON.stringify([{ candidates: [], usageMetadata: counted(7) }], null, 2);
const compact = JSON.stringify({ embeddings: [[1, 2]], usageMetadata: { promptTokenCount: 7 } });

/** The input tokens of a body that arrives in pieces of this size. */
function inputOf(body: string, size: number): number | undefined {
  const tail = new AnswerTail();
  const bytes = Buffer.from(body);
  for (let at = 0; at < bytes.length; at += size) tail.keep(bytes.subarray(at, at + size));
  return tail.usage()?.inputTokens;
}

describe('the usage of an answer that passes', () => {
  it.each([
    ['in the last event', event('a', counted(3)) + event('b', counted(7)), 7],
    ['at the end of a list over several lines', pretty, 7],
    ['at the end of an object', compact, 7],
    ['behind 100 KB', event('é'.repeat(50_000)) + event('b', counted(7)), 7],
    [
      'before an event that was cut off',
      event('a', counted(7)) + event('b', counted(9)).slice(0, -40),
      7,
    ],
    [
      'behind the words of the model',
      event('"usageMetadata": {"promptTokenCount":1}', counted(7)),
      7,
    ],
    [
      'behind the arguments of a call',
      event({ usageMetadata: { promptTokenCount: 1 } }, counted(7)),
      7,
    ],
    ['in no words of the model', event('"usageMetadata": {"promptTokenCount":1}'), undefined],
    ['not as an object', '{"usageMetadata": null}', undefined],
    ['nowhere', '{"models":[]}', undefined],
    ['too far from the end', event('a', counted(7)) + event('x'.repeat(9000)), undefined],
    ['nowhere in nothing', '', undefined],
  ])('is found %s, however the bytes are cut', (_, body, tokens) => {
    for (const size of [1, 7, 1000, 8191, 8192, 1_000_000]) {
      expect([size, inputOf(body, size)]).toEqual([size, tokens]);
    }
  });
});

it('takes only counts that can be true', () => {
  const usage = toUsage({
    promptTokenCount: 1e300,
    candidatesTokenCount: -5,
    thoughtsTokenCount: 2.4,
    cachedContentTokenCount: '7',
  });
  expect(usage).toEqual({
    inputTokens: 0,
    outputTokens: 2,
    totalTokens: 2,
    cachedTokens: 0,
    thoughtTokens: 2,
  });
});
