import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseDurationMs } from '../../src/providers/gemini/google-error.ts';

describe('parseDurationMs', () => {
  it.each([
    ['41s', 41_000],
    ['35.17s', 35_170],
    ['0.8s', 800],
    ['812ms', 812],
    ['1m2.5s', 62_500],
    ['13h27m31.2s', 48_451_200],
    ['21599.960323804s', 21_599_960],
    ['812.4µs', 1],
    ['1500us', 2],
    ['2000000ns', 2],
    [' 5s ', 5000],
    ['0s', 0],
    ['-3s', -3000],
  ])('reads %s', (text, ms) => {
    expect(parseDurationMs(text)).toBe(ms);
  });

  it.each([
    [{ seconds: 41, nanos: 500_000_000 }, 41_500],
    [{ seconds: '41' }, 41_000],
    [{ nanos: 800_000_000 }, 800],
    [{ seconds: '0' }, 0],
  ])('reads the message %j', (message, ms) => {
    expect(parseDurationMs(message)).toBe(ms);
  });

  it.each(['', '41', 's', '4 s', '5 minutes', '1s2', 'soon', `${'9'.repeat(400)}s`])(
    'does not read %j',
    (text) => {
      expect(parseDurationMs(text)).toBeUndefined();
    },
  );

  it.each([
    [null],
    [undefined],
    [41],
    [{}],
    [[]],
    [{ seconds: 'x' }],
    [{ nanos: '' }],
    [{ seconds: {} }],
  ])('does not read %j', (value) => {
    expect(parseDurationMs(value)).toBeUndefined();
  });

  it('gives a whole number or nothing, whatever it is given', () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        const ms = parseDurationMs(value);
        expect(ms === undefined || Number.isInteger(ms)).toBe(true);
      }),
    );
  });

  it('reads back whatever number of milliseconds it is told', () => {
    fc.assert(
      fc.property(fc.nat(10 ** 9), (ms) => {
        expect(parseDurationMs(`${ms}ms`)).toBe(ms);
        expect(parseDurationMs(`${(ms / 1000).toFixed(3)}s`)).toBe(ms);
      }),
    );
  });
});
