import { expect, it } from 'vitest';
import { createSessionTokens } from '../../src/services/session-tokens.ts';
import { createFakeClock } from '../support/fake-clock.ts';

const HOUR = 3_600_000;
const ours = { keyId: 'anam', clientRequest: null };

function createTokens() {
  const clock = createFakeClock();
  return {
    clock,
    tokens: createSessionTokens({
      clock,
      keys: { all: () => [], get: () => undefined },
      texts: null,
    }),
  };
}

it('remembers a token for an hour, and not a millisecond longer', async () => {
  const { clock, tokens } = createTokens();
  tokens.remember('t', ours);
  clock.advance(HOUR - 1);
  expect(await tokens.find('t')).toMatchObject(ours);
  clock.advance(1);
  expect(await tokens.find('t')).toBeNull();
});

it('grants the claim of a token once, until it is released', async () => {
  const { tokens } = createTokens();
  const claims = async (...names: string[]) => {
    const granted = [];
    for (const name of names) granted.push(await tokens.claim(name));
    return granted;
  };
  tokens.remember('t', ours);
  tokens.remember('other', ours);
  expect(await claims('t', 't', 'other')).toEqual([true, false, true]);
  tokens.release('t');
  expect(await claims('t', 'other', 'unknown')).toEqual([true, false, false]);
});

it('forgets the oldest tokens when the requests of callers are too large together', async () => {
  const { tokens } = createTokens();
  const clientRequest = { personaConfig: { systemPrompt: 'x'.repeat(1_000_000) } };
  for (let index = 0; index < 40; index += 1) {
    tokens.remember(`t${index}`, { keyId: 'anam', clientRequest });
  }
  expect(await tokens.find('t8')).toBeNull();
  expect(await tokens.find('t9')).not.toBeNull();
});

it('forgets the oldest of more than ten thousand', async () => {
  const { tokens } = createTokens();
  for (let index = 0; index <= 10_000; index += 1) tokens.remember(`t${index}`, ours);
  expect(await tokens.find('t0')).toBeNull();
  expect(await tokens.find('t1')).toMatchObject(ours);
});
