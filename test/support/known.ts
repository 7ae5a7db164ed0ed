import fc from 'fast-check';
import type { SharedHealth } from '../../src/pool/scope.ts';
import { HOUR } from './pool.ts';

export const NOW = Date.UTC(2026, 10, 25, 12);
export const parked = {
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
} as const satisfies SharedHealth;

/** Around now, to a fraction of a millisecond, as events are. */
const anyEvent = fc
  .tuple(fc.integer({ min: -5, max: 5 }), fc.nat({ max: 4 }))
  .map(([ms, steps]) => NOW + ms + steps * 2 ** -12);

/** What one instance may know of a scope. */
export const anyKnown: fc.Arbitrary<SharedHealth> = fc
  .record({
    openedAt: fc.oneof(fc.constant(0), anyEvent),
    foundAt: anyEvent,
    until: fc.integer({ min: NOW - 10, max: NOW + HOUR }),
    isParked: fc.boolean(),
  })
  .map(({ openedAt, foundAt, until, isParked }) => ({
    openedAt,
    found: isParked
      ? { until, finding: { ...parked.found.finding, since: NOW - 10, foundAt } }
      : null,
  }))
  // A finding older than the opening is no longer known.
  .filter(({ openedAt, found }) => found === null || found.finding.foundAt >= openedAt);
