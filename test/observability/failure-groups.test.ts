import { describe, expect, it } from 'vitest';
import { createFailureGroups, mergeFailures } from '../../src/observability/failure-groups.ts';
import { keepRequest } from '../../src/observability/stats.ts';
import { isoTime } from '../../src/shared/clock.ts';
import { google } from '../support/pool.ts';
import { attemptOf, requestOf } from '../support/records.ts';

const MINUTE = 60_000;
const NOON = Date.UTC(2026, 10, 24, 12);
const REFUSED = { kind: 'refused', code: 'upstream_failed', retryAfterMs: null } as const;
const CUT = attemptOf({ outcome: { kind: 'upstream_down', message: 'cut', timedOut: false } });

type Failed = Partial<Parameters<typeof requestOf>[0]>;
const failedAt = (at: number, changed: Failed = {}) =>
  keepRequest(requestOf({ startedAt: at, end: REFUSED, attempts: [CUT], ...changed }));

describe('failed requests', () => {
  it('are counted by reason, service and model, with the latest clients and requests', () => {
    const groups = createFailureGroups();
    for (let i = 0; i < 80; i += 1) {
      const client = i < 70 ? 'shop' : null;
      groups.add(failedAt(NOON + i * 1000, { requestId: `request-${i}`, client }));
    }
    groups.add(failedAt(NOON + 90_000, { targets: [google('pro')] }));
    groups.add(failedAt(NOON + 91_000, { end: { kind: 'broken_off' } }));
    groups.add(failedAt(NOON + 92_000, { end: { kind: 'answered' } }));
    groups.add(failedAt(NOON + 93_000, { end: { kind: 'client_gone' } }));
    const list = groups.list(NOON + 2 * MINUTE);
    expect(list).toMatchObject([
      { code: null, kind: 'upstream_down', model: 'flash', count: 1 },
      { code: 'upstream_failed', kind: null, model: 'pro', count: 1 },
      { code: 'upstream_failed', kind: null, model: 'flash', count: 80 },
    ]);
    expect(list[2]).toMatchObject({
      service: 'google',
      sentence: 'Every call failed: the provider, the network or the base URL is at fault.',
      since: isoTime(NOON),
      last: isoTime(NOON + 79_000),
      clients: ['web', 'shop'],
      requestIds: [79, 78, 77, 76, 75].map((i) => `request-${i}`),
    });
  });

  it('of more than an hour ago do not count, and a group ends with its last', () => {
    const groups = createFailureGroups();
    groups.add(failedAt(NOON + 5000, { requestId: 'first', client: 'shop' }));
    groups.add(failedAt(NOON + 30 * MINUTE, { requestId: 'second' }));
    groups.add(failedAt(NOON + 30 * MINUTE + 1));
    expect(groups.list(NOON + 60 * MINUTE - 1)).toMatchObject([
      { count: 3, since: isoTime(NOON + 5000), clients: ['web', 'shop'] },
    ]);
    const [later] = groups.list(NOON + 60 * MINUTE);
    expect(later).toMatchObject({
      ...{ count: 2, since: isoTime(NOON + 30 * MINUTE), clients: ['web'] },
      requestIds: ['request-1', 'second'],
    });
    expect(groups.list(NOON + 90 * MINUTE - 1)).toHaveLength(1);
    expect(groups.list(NOON + 90 * MINUTE)).toEqual([]);
    expect(groups.requests()).toEqual([]);
  });

  it('have at most fifty groups, of which the one without a failure for the longest time goes', () => {
    const groups = createFailureGroups();
    const fail = (model: number) => groups.add(failedAt(NOON, { targets: [google(`m-${model}`)] }));
    for (let model = 0; model < 50; model += 1) fail(model);
    fail(0);
    fail(50);
    const models = groups.list(NOON).map(({ model }) => model);
    expect(models).toHaveLength(50);
    expect(models).toContain('m-0');
    expect(models).not.toContain('m-1');
  });

  it('of several instances are one group', () => {
    const [one, other] = [createFailureGroups(), createFailureGroups()];
    one.add(failedAt(NOON, { requestId: 'a', client: 'shop' }));
    one.add(failedAt(NOON + 3, { requestId: 'b', client: 'desk' }));
    for (const id of 'cdefg') other.add(failedAt(NOON + 2, { requestId: id, client: 'shop' }));
    other.add(failedAt(NOON + 1, { targets: [google('pro')] }));
    const merged = mergeFailures([one.list(NOON), other.list(NOON)]);
    expect(merged).toMatchObject([
      {
        ...{ count: 7, since: isoTime(NOON), last: isoTime(NOON + 3), clients: ['desk', 'shop'] },
        requestIds: ['b', 'a', 'g', 'f', 'e'],
      },
      { model: 'pro', count: 1 },
    ]);
  });
});
