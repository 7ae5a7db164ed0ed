import { expect, it } from 'vitest';
import { Quota } from '../../src/pool/pacing.ts';
import { Scope } from '../../src/pool/scope.ts';
import { createQuotaSharing } from '../../src/sharing/quota-use.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { FakeRecordStore } from '../support/fake-record-store.ts';

it('an older total that arrives late does not overwrite a newer one', () => {
  const clock = createFakeClock();
  const quota = new Quota(new Scope(), { rpm: 10 }, 60_000);
  const sharing = createQuotaSharing({
    store: new FakeRecordStore({ now: clock.now }).storeOf(0),
    clock,
    nameOf: () => 'quota',
    quotaOf: () => quota,
    quotas: () => ({ find: () => quota, merge: (one, use) => one.merge(use) }),
  });
  const receive = (requests: number, version: number) => {
    const use = { ...quota.use(clock.now()), requests };
    sharing.received({ name: 'quota', use, limits: '[]', version });
  };
  receive(10, 2);
  receive(4, 1);
  expect(quota.fullUntil(clock.now())).toBeGreaterThan(clock.now());
  receive(4, 3);
  expect(quota.fullUntil(clock.now())).toBe(0);
});
