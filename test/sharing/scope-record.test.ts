import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SharedHealth } from '../../src/pool/scope.ts';
import { Scope } from '../../src/pool/scope.ts';
import { isSameRecord, readRecord, writeRecord } from '../../src/sharing/scope-record.ts';
import { mergeRecords } from '../support/fake-record-store.ts';
import { anyKnown, NOW, parked } from '../support/known.ts';
import { HOUR } from '../support/pool.ts';

const LIMITS = { clockOffset: 0, now: NOW, cooldownMs: HOUR };

const merged = (one: SharedHealth, other: SharedHealth) =>
  mergeRecords(writeRecord(one, 0), writeRecord(other, 0));

describe('a record', () => {
  it('says the same to an instance with another clock', () => {
    fc.assert(
      fc.property(anyKnown, fc.integer({ min: -10_000, max: 10_000 }), (known, clockOffset) => {
        const record = writeRecord(known, clockOffset);
        expect(readRecord(record, { ...LIMITS, clockOffset })).toEqual(known);
        const there = { ...LIMITS, now: NOW + clockOffset };
        expect(readRecord(record, there)?.found?.until).toBe(
          known.found === null ? undefined : known.found.until + clockOffset,
        );
      }),
    );
  });

  it('has what the provider says of a rejected key', () => {
    const rejected = { cause: 'key_rejected', rejection: 'leaked' } as const;
    const { found } = parked;
    const known = { ...parked, found: { ...found, finding: { ...found.finding, ...rejected } } };
    expect(readRecord(writeRecord(known, 0), LIMITS)).toEqual(known);
  });

  it('parks for a cooldown at most, or a week where an operator has parked the key', () => {
    const far = writeRecord(parked, 0).replace(`|${NOW + 1000}|`, '|8000000000000000|');
    expect(readRecord(far, LIMITS)?.found?.until).toBe(NOW + HOUR);
    const byOperator = far.replace('rate_limited', 'operator');
    expect(readRecord(byOperator, LIMITS)?.found?.until).toBe(NOW + 7 * 24 * HOUR);
  });

  it('holds no event later than about now', () => {
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
  it('are the same in either order, and merging one twice changes nothing', () => {
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
  const found = (foundAt: number, until: number): SharedHealth => ({
    openedAt: 0,
    found: { until, finding: { ...parked.found.finding, since: NOW - 10, foundAt } },
  });
  const newer = found(NOW + 3, NOW + 1000);
  const longer = found(NOW + 1, NOW + 2000);
  const opening: SharedHealth = { openedAt: NOW + 2, found: null };

  it('disproves neither, also for an instance that merges the older one last', () => {
    const together = readRecord(merged(newer, longer), LIMITS) ?? expect.fail('no record');
    const there = readRecord(merged(together, opening), LIMITS) ?? expect.fail('no record');
    expect(there.found?.until).toBe(NOW + 2000);
    const scope = new Scope();
    for (const known of [newer, opening, longer]) scope.merge(known, NOW);
    expect(scope.sharedHealth.found?.until).toBe(NOW + 1000);
    scope.merge(there, NOW);
    expect(scope.sharedHealth.found?.until).toBe(NOW + 2000);
    const late = new Scope();
    for (const known of [longer, newer, opening]) late.merge(known, NOW);
    expect(late.sharedHealth.found?.until).toBe(NOW + 2000);
  });
});

it('records that differ only by the drift of a clock are the same', () => {
  const record = writeRecord(parked, 0);
  expect(isSameRecord(record, writeRecord(parked, 20))).toBe(true);
  expect(isSameRecord(record, writeRecord(parked, 200))).toBe(false);
  expect(isSameRecord(record, writeRecord({ ...parked, found: null }, 0))).toBe(false);
  expect(isSameRecord(undefined, record)).toBe(false);
});
