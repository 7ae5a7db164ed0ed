import { expect, it } from 'vitest';
import { createMintedTokens } from '../../src/services/minted-tokens.ts';
import { createFakeClock } from '../support/fake-clock.ts';

const HOUR = 3_600_000;
const ours = { keyId: 'anam', clientPersona: null };

it('remembers a token for an hour, and not a moment longer', () => {
  const clock = createFakeClock();
  const tokens = createMintedTokens(clock);
  tokens.remember('t', ours);
  clock.advance(HOUR - 1);
  expect(tokens.find('t')).toMatchObject(ours);
  clock.advance(1);
  expect(tokens.find('t')).toBeNull();
});

it('gives the one conversation of a token away once, unless it is given back', () => {
  const tokens = createMintedTokens(createFakeClock());
  tokens.remember('t', ours);
  tokens.remember('other', ours);
  expect([tokens.claim('t'), tokens.claim('t'), tokens.claim('other')]).toEqual([
    true,
    false,
    true,
  ]);
  tokens.release('t');
  expect([tokens.claim('t'), tokens.claim('other'), tokens.claim('unknown')]).toEqual([
    true,
    false,
    false,
  ]);
});

it('forgets the oldest when callers bring too much of their own', () => {
  const tokens = createMintedTokens(createFakeClock());
  const clientPersona = { systemPrompt: 'x'.repeat(1_000_000) };
  for (let index = 0; index < 40; index += 1) {
    tokens.remember(`t${index}`, { keyId: 'anam', clientPersona });
  }
  expect([tokens.find('t8'), tokens.find('t9')]).toEqual([null, expect.anything()]);
});

it('forgets the oldest of more than ten thousand', () => {
  const tokens = createMintedTokens(createFakeClock());
  for (let index = 0; index <= 10_000; index += 1) tokens.remember(`t${index}`, ours);
  expect([tokens.find('t0'), tokens.find('t1')]).toEqual([null, expect.objectContaining(ours)]);
});
