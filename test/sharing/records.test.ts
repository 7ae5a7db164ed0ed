import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Known } from '../../src/pool/health.ts';
import { Scope } from '../../src/pool/scope.ts';
import { Secret } from '../../src/shared/secret.ts';
import { isSameRecord, mergeRecords, readFront } from '../../src/sharing/merge-records.ts';
import { createRedisClient } from '../../src/sharing/redis/redis-client.ts';
import { createTimeDifference } from '../../src/sharing/redis/time-difference.ts';
import { readRecord, writeRecord } from '../../src/sharing/scope-record.ts';
import { Board } from '../support/board.ts';
import { ifInstalled } from '../support/installed.ts';
import { HOUR } from '../support/pool.ts';
import { REDIS_SERVER, startRedis } from '../support/redis.ts';

const NOW = Date.UTC(2026, 10, 25, 12);
const LIMITS = { clockAhead: 0, now: NOW, cooldownMs: HOUR };

const parked: Known = {
  openedAt: NOW - 5000,
  found: {
    until: NOW + 1000,
    finding: {
      cause: 'rate_limited',
      effect: 'cooling_down',
      reach: 'whole',
      isHinted: true,
      since: NOW - 2000,
      foundAt: NOW - 3000 + 2 ** -12,
    },
  },
};

/** Around now, to a fraction of a millisecond, as events are. */
const anyEvent = fc
  .tuple(fc.integer({ min: -5, max: 5 }), fc.nat({ max: 4 }))
  .map(([ms, steps]) => NOW + ms + steps * 2 ** -12);

const anyKnown: fc.Arbitrary<Known> = fc
  .record({
    openedAt: fc.oneof(fc.constant(0), anyEvent),
    foundAt: anyEvent,
    until: fc.integer({ min: NOW - 10, max: NOW + HOUR }),
    isParked: fc.boolean(),
  })
  .map(({ openedAt, foundAt, until, isParked }) => ({
    openedAt,
    found: isParked ? { until, finding: { ...finding(), since: NOW - 10, foundAt } } : null,
  }))
  // What a process tells is what holds for it.
  .filter(({ openedAt, found }) => found === null || found.finding.foundAt >= openedAt);

function finding() {
  if (parked.found === null) throw new Error('it is parked');
  return parked.found.finding;
}

const frontOf = (known: Known) => readFront(writeRecord(known, 0)) ?? expect.fail('no record');
const merged = (one: Known, other: Known) => mergeRecords(frontOf(one), frontOf(other));

describe('a record', () => {
  it('says the same to a process whose clock is another', () => {
    fc.assert(
      fc.property(anyKnown, fc.integer({ min: -10_000, max: 10_000 }), (known, clockAhead) => {
        const record = writeRecord(known, clockAhead);
        expect(readRecord(record, { ...LIMITS, clockAhead })).toEqual(known);
        const there = { ...LIMITS, now: NOW + clockAhead };
        expect(readRecord(record, there)?.found?.until).toBe(
          known.found === null ? undefined : known.found.until + clockAhead,
        );
      }),
    );
  });

  it('keeps nobody parked for longer than a cooldown, or a week where a person has said so', () => {
    const far = writeRecord(parked, 0).replace(`|${NOW + 1000}|`, '|8000000000000000|');
    expect(readRecord(far, LIMITS)?.found?.until).toBe(NOW + HOUR);
    const byOperator = far.replace('rate_limited', 'operator');
    expect(readRecord(byOperator, LIMITS)?.found?.until).toBe(NOW + 7 * 24 * HOUR);
  });

  it('is of about now at the latest', () => {
    const late = { ...LIMITS, now: NOW - HOUR };
    const known = readRecord(writeRecord(parked, 0), late);
    expect(known?.openedAt).toBe(NOW - HOUR + 1000);
    expect(known?.found?.finding.foundAt).toBe(NOW - HOUR + 1000);
  });

  it.each([
    '',
    'rubbish',
    '1|2|3',
    '1|2|3|',
    '1|2|3|{}',
    '1|2|3|null',
    '1|2|3|{"cause":"upstream_down","effect":"cooling_down","reach":"part","isHinted":false,"since":1}',
    '-1|0|0|',
    'NaN|0|0|',
    '1e400|0|0|',
    '0x1|0|0|',
  ])('is not %j', (text) => {
    const known = readRecord(text, LIMITS);
    expect(known === null || known.found === null).toBe(true);
  });
});

describe('two records together', () => {
  it('are the same whichever comes first, and no more when one comes twice', () => {
    fc.assert(
      fc.property(anyKnown, anyKnown, (one, other) => {
        const both = readRecord(merged(one, other), LIMITS);
        expect(readRecord(merged(other, one), LIMITS)).toEqual(both);
        if (both !== null) expect(readRecord(merged(both, one), LIMITS)).toEqual(both);
      }),
    );
  });
});

describe('an opening between two findings, of which the older one parks longer,', () => {
  const found = (foundAt: number, until: number): Known => ({
    openedAt: 0,
    found: { until, finding: { ...finding(), since: NOW - 10, foundAt } },
  });
  const newer = found(NOW + 3, NOW + 1000);
  const longer = found(NOW + 1, NOW + 2000);
  const opening: Known = { openedAt: NOW + 2, found: null };

  it('disproves neither, also for a process that hears of the older one last', () => {
    const together = readRecord(merged(newer, longer), LIMITS) ?? expect.fail('no record');
    const there = readRecord(merged(together, opening), LIMITS) ?? expect.fail('no record');
    expect(there.found?.until).toBe(NOW + 2000);
    const scope = new Scope();
    for (const known of [newer, opening, longer]) scope.learn(known, NOW);
    expect(scope.known.found?.until).toBe(NOW + 1000);
    scope.learn(there, NOW);
    expect(scope.known.found?.until).toBe(NOW + 2000);
    const late = new Scope();
    for (const known of [longer, newer, opening]) late.learn(known, NOW);
    expect(late.known.found?.until).toBe(NOW + 2000);
  });
});

ifInstalled(REDIS_SERVER, 'two records in Redis', () => {
  it('are merged there as they are here', async () => {
    const redis = await startRedis();
    const client = createRedisClient(new Secret('redis', redis.url), Math.random);
    await client.connect();
    const tell = (record: string) =>
      client.tellRecord('record', 'claim', 'index', 'me', 'name', record, '0', '60000', 'news');
    const openedAhead = await tell(`${Date.now() + HOUR}|0|0|`);
    expect(Number.parseFloat(openedAhead as string)).toBeLessThanOrEqual(Date.now() + 1000);
    await fc.assert(
      fc.asyncProperty(anyKnown, anyKnown, async (one, other) => {
        await client.del('record');
        expect(await tell(writeRecord(one, 0))).toBe(writeRecord(one, 0));
        expect(await tell(writeRecord(other, 0))).toBe(merged(one, other));
      }),
    );
    client.disconnect();
  });
});

ifInstalled(REDIS_SERVER, 'a trial that Redis is asked for', () => {
  it('is not given to one who has not heard yet that the scope is parked again, or open', async () => {
    const redis = await startRedis();
    const client = createRedisClient(new Secret('redis', redis.url), Math.random);
    await client.connect();
    const now = Date.now();
    const spent = (foundAt: number, until: number) =>
      writeRecord({ openedAt: 0, found: { until, finding: { ...finding(), foundAt } } }, 0);
    const old = spent(now - 9000, now - 5000);
    const tell = (record: string) =>
      client.tellRecord('record', 'claim', 'index', 'me', 'name', record, '0', '60000', 'news');
    const claim = () => client.claimTrial('2', 'record', 'claim', 'me', '5000', old);
    const again = spent(now - 1000, now + 60_000);
    await tell(again);
    expect(await claim()).toEqual([0, expect.closeTo(60_000, -3), again]);
    const opened = writeRecord({ openedAt: now, found: null }, 0);
    await tell(opened);
    expect(await claim()).toEqual([0, 0, opened]);
    await client.del('record');
    await tell(old);
    expect(await claim()).toEqual([1, 0, old]);
    client.disconnect();
  });
});

it('a clock that is ahead makes no opening on the board that nobody can overtake', () => {
  const board = new Board(() => NOW);
  const report = { name: 'key:x', frees: false, outlivesMs: HOUR };
  board.tell({ ...report, record: `${NOW + HOUR}|0|0|` }, 1);
  const later = writeRecord({ ...parked, openedAt: 0 }, 2000 + 5000);
  expect(readFront(board.tell({ ...report, record: later }, 2).record)?.openedAt).toBe(NOW + 1000);
});

it('what differs by the drift of a clock alone is the same', () => {
  const record = writeRecord(parked, 0);
  expect(isSameRecord(record, writeRecord(parked, 20))).toBe(true);
  expect(isSameRecord(record, writeRecord(parked, 200))).toBe(false);
  expect(isSameRecord(record, writeRecord({ ...parked, found: null }, 0))).toBe(false);
  expect(isSameRecord(undefined, record)).toBe(false);
});

describe('the difference of two clocks', () => {
  it('is that of the fastest of the last answers', () => {
    const difference = createTimeDifference();
    expect(difference.ms).toBe(0);
    difference.measured({ sentAt: 1000, answeredAt: 1100, time: 3080 });
    expect(difference.ms).toBe(2030);
    difference.measured({ sentAt: 2000, answeredAt: 2002, time: 4001 });
    expect(difference.ms).toBe(2000);
    difference.measured({ sentAt: 3000, answeredAt: 3500, time: 5400 });
    expect(difference.ms).toBe(2000);
  });

  it('is the new one at once when a clock was set', () => {
    const difference = createTimeDifference();
    difference.measured({ sentAt: 2000, answeredAt: 2002, time: 4001 });
    difference.measured({ sentAt: 4000, answeredAt: 4100, time: 1050 });
    expect(difference.ms).toBe(-3000);
  });
});
