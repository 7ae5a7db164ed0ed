import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ErrorWatch } from '../../src/providers/gemini/gemini-relay.ts';

const ERROR = '{"error":{"code":429,"message":"spent"}}';
const PRETTY = JSON.stringify({ error: { code: 429 } }, null, 2);
const piece = (text: string) =>
  JSON.stringify({ candidates: [{ content: { parts: [{ text }] } }] });

/** What passes and what is kept of a body that arrives in these parts. */
function watch(parts: readonly Buffer[]) {
  const seen = new ErrorWatch();
  const passed = parts.map((part) => seen.pass(part));
  const { error } = seen;
  return { passed: Buffer.concat([...passed, seen.end()]).toString(), error };
}

const at = (text: string, cuts: readonly number[]) => {
  const bytes = Buffer.from(text);
  const places = [0, ...[...cuts].map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b)];
  return places.map((from, index) => bytes.subarray(from, places[index + 1] ?? bytes.length));
};

const WITH_ERROR: readonly [string, string, string][] = [
  ['an event', `data: ${piece('one')}\r\n\r\n`, `data: ${ERROR}\r\n\r\n`],
  ['an event without a blank', `data: ${piece('one')}\n\n`, `data:${ERROR}\n\n`],
  ['an event that is a list', `data: ${piece('one')}\n\n`, `data: [${ERROR}]\n\n`],
  ['no event at all', `data: ${piece('one')}\r\n\r\n`, ERROR],
  ['no event, over several lines', `data: ${piece('one')}\r\n\r\n`, PRETTY],
  ['the member of a list', `[${piece('one')}\r\n`, `,\r\n${ERROR}]`],
  ['the member of a list over several lines', `[${piece('one')}\n`, `,\n${PRETTY}\n]`],
  ['the whole answer', '', ERROR],
  ['the whole answer, as a list', '', `[${PRETTY}]`],
  ['the first event', '', `data: ${ERROR}\n\n`],
];

const WITHOUT: readonly [string, string][] = [
  ['in a text', `data: ${piece('{"error":1}\n{"error":2}')}\r\n\r\n`],
  ['as a text', `data: ${piece('error')}\r\n\r\n`],
  [
    'as what a function is called with',
    `data: {"functionCall":{"args":{"error":{"a":1}}}}\r\n\r\n`,
  ],
  [
    'in a list that a function is called with',
    `data: {"args":{"list":[{"error":1},{"error":2}]}}\n\n`,
  ],
  ['further on in an event', `data: {"candidates":[],"error":null}\n\n`],
  [
    'over several lines',
    `[${JSON.stringify({ a: { args: [{ error: 1 }] } }, null, 2)}\n,\n${JSON.stringify({ b: 1 }, null, 2)}]`,
  ],
  ['nowhere', `[${piece('one')},\r\n${piece('two')}]`],
];

describe('an error within a 200', () => {
  it.each(WITH_ERROR)('is found, and all before it passes: %s', (_, before, error) => {
    expect(watch([Buffer.from(before + error)])).toEqual({ passed: before, error });
  });

  it.each(WITH_ERROR)('is found wherever its bytes are parted: %s', (_, before, error) => {
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 6 }), (cuts) => {
        expect(watch(at(before + error, cuts))).toEqual({ passed: before, error });
      }),
      { numRuns: 300 },
    );
    const single = [...Buffer.from(before + error)].map((byte) => Buffer.from([byte]));
    expect(watch(single)).toEqual({ passed: before, error });
  });

  it.each(WITHOUT)('is not seen where the word stands %s', (_, body) => {
    expect(watch([Buffer.from(body)])).toEqual({ passed: body, error: null });
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 6 }), (cuts) => {
        expect(watch(at(body, cuts))).toEqual({ passed: body, error: null });
      }),
    );
  });

  it('keeps no more than 64 KB of what it says, and no half word', () => {
    const { error } = watch([Buffer.from(`{"error":{"message":"${'long '.repeat(20_000)}`)]);
    expect(error?.length).toBeLessThanOrEqual(65_536);
    expect(error).toMatch(/long $/);
  });
});

describe('what is good', () => {
  it('passes at once, whole events without a copy', () => {
    const seen = new ErrorWatch();
    for (const text of ['one', 'two']) {
      const event = Buffer.from(`data: ${piece(text)}\r\n\r\n`);
      const passed = seen.pass(event);
      expect([passed.length, passed.buffer, passed.byteOffset]).toEqual([
        event.length,
        event.buffer,
        event.byteOffset,
      ]);
    }
  });
});
