import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { Quota } from '../../src/pool/pacing.ts';
import { Scope } from '../../src/pool/scope.ts';
import { createUseSharing } from '../../src/sharing/use-sharing.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { FakeRecordStore } from '../support/fake-record-store.ts';

it('an older total that arrives late does not overwrite a newer one', () => {
  const clock = createFakeClock();
  const quota = new Quota(new Scope(), { rpm: 10 }, 60_000);
  const sharing = createUseSharing<Quota>({
    store: new FakeRecordStore({ now: clock.now }).storeOf(0),
    clock,
    nameOf: () => 'quota',
    find: () => quota,
    countsOf: (one, now) => ({ ...one.use(now), dayTokens: 0, asked: 0 }),
    merge: (one, others, _limits, now) => one.merge({ others, limits: [], now }),
  });
  const receive = (requests: number, version: number) => {
    const use = { ...quota.use(clock.now()), requests, dayTokens: 0, asked: 0 };
    sharing.received({ name: 'quota', use, limits: '[]', version });
  };
  receive(10, 2);
  receive(4, 1);
  expect(quota.fullUntil(clock.now())).toBeGreaterThan(clock.now());
  receive(4, 3);
  expect(quota.fullUntil(clock.now())).toBe(0);
});

it('what this instance published is remembered until the day is over, and not for ever', async () => {
  const clock = createFakeClock(Date.UTC(2026, 10, 24, 12));
  const quota = new Quota(new Scope(), { rpd: 10 }, 60_000);
  const others: number[] = [];
  const sharing = createUseSharing<Quota>({
    store: new FakeRecordStore({ now: clock.now }).storeOf(0),
    clock,
    nameOf: () => 'quota',
    find: () => quota,
    countsOf: () => ({ ...own, minute: 1, requests: 0, tokens: 0 }),
    merge: (_, { dayRequests }) => others.push(dayRequests),
  });
  const dayEndsAt = clock.now() + 20 * 3_600_000;
  const own = { dayEndsAt, dayRequests: 3, dayTokens: 0, asked: 0 };
  sharing.used(quota);
  clock.advance(100);
  await nextTurn();
  let version = 1;
  const receive = () => {
    version += 1;
    const use = { ...own, minute: 1, requests: 0, tokens: 0, dayRequests: 5 };
    sharing.received({ name: 'quota', use, limits: '[]', version });
  };
  clock.advance(dayEndsAt - clock.now() - 1);
  receive();
  clock.advance(3_600_000);
  receive();
  expect(others).toEqual([0, 2, 5]);
});
