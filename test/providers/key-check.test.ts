import { expect, it } from 'vitest';
import { checkGeminiKey } from '../../src/providers/gemini/key-check.ts';
import { Secret } from '../../src/shared/secret.ts';
import type { Fault } from '../../standin/standin.ts';
import { MODEL, withStandin } from '../standin/with-standin.ts';
import { freePort } from '../support/redis.ts';

const never = new AbortController().signal;

async function check(fault: Fault | null, { model = MODEL, signal = never } = {}) {
  const key = { key: 'g-one', service: 'google', ...(fault === null ? {} : { fault }) } as const;
  const { standin, clock } = await withStandin({ keys: [key] });
  const secret = new Secret('google', 'g-one');
  const context = { baseUrl: standin.url, redact: (text: string) => text, now: clock.now };
  const failure = await checkGeminiKey({ secret }, { ...context, model }, signal);
  return { failure, standin };
}

it('finds nothing wrong with a key that works, and counts tokens for it', async () => {
  const { failure, standin } = await check(null);
  expect(failure).toBeNull();
  expect(standin.calls.map(({ path }) => path)).toEqual([`/v1beta/models/${MODEL}:countTokens`]);
});

it.each<[Fault, object]>([
  [{ kind: 'expired_key' }, { kind: 'key_rejected', status: 400 }],
  [{ kind: 'leaked' }, { kind: 'key_rejected', status: 403 }],
])(
  "classifies a refusal of %o as it would a chat's, in Google's own words",
  async (fault, found) => {
    const { failure } = await check(fault);
    expect(failure).toMatchObject(found);
    expect(failure?.message).not.toContain('fetching');
  },
);

it('says that a model is missing, and that nobody answers and why', async () => {
  expect((await check(null, { model: 'none' })).failure).toMatchObject({
    kind: 'model_unavailable',
  });
  const baseUrl = `http://127.0.0.1:${await freePort()}`;
  const context = { baseUrl, redact: (text: string) => text, now: Date.now };
  const secret = new Secret('google', 'g-one');
  const unreachable = await checkGeminiKey({ secret }, { ...context, model: MODEL }, never);
  expect(unreachable).toMatchObject({
    kind: 'upstream_down',
    message: expect.stringMatching(/does not answer: .*: connect ECONNREFUSED 127\.0\.0\.1/),
  });
});

it('ends with its signal', async () => {
  const controller = new AbortController();
  const checking = check({ kind: 'hang' }, { signal: controller.signal });
  setTimeout(() => controller.abort(), 200);
  expect((await checking).failure).toMatchObject({ kind: 'upstream_down' });
});
