import { expect, it } from 'vitest';
import { createMintedTokens } from '../../src/service/minted-tokens.ts';
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

it('knows which token has begun its conversation', () => {
  const tokens = createMintedTokens(createFakeClock());
  tokens.remember('t', ours);
  tokens.remember('other', ours);
  tokens.use('t');
  tokens.use('unknown');
  expect([tokens.find('t')?.isUsed, tokens.find('other')?.isUsed]).toEqual([true, false]);
});

it('forgets the oldest of more than ten thousand', () => {
  const tokens = createMintedTokens(createFakeClock());
  for (let index = 0; index <= 10_000; index += 1) tokens.remember(`t${index}`, ours);
  expect([tokens.find('t0'), tokens.find('t1')]).toEqual([null, expect.objectContaining(ours)]);
});
