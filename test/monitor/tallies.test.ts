import { describe, expect, it } from 'vitest';
import { addKeyTallies, keyTally } from '../../src/monitor/key-tally.ts';
import { latencyOf } from '../../src/monitor/latency.ts';
import { addTallies, overviewTally } from '../../src/monitor/overview-tally.ts';
import { attemptOf, requestOf } from '../support/records.ts';
import { keyTallyOf, tallyOf } from '../support/tallies.ts';

const MINUTE = 60_000;
const NOON = Date.UTC(2026, 10, 24, 12);
const endedAt = (at: number, requestId = 'request') => requestOf({ requestId, startedAt: at });

describe('what several processes have counted of the requests', () => {
  it('is added up minute by minute, each minute of the hour in it', () => {
    const later = NOON + MINUTE;
    const one = tallyOf([endedAt(NOON), endedAt(NOON), endedAt(later)], later);
    const other = tallyOf([endedAt(NOON - 30 * MINUTE), endedAt(NOON)], later);
    const { minutes } = addTallies([one, other], later);
    expect(minutes).toHaveLength(60);
    expect(minutes.filter(({ requests }) => requests > 0)).toMatchObject([
      { at: NOON - 30 * MINUTE, requests: 1, answered: 1 },
      { at: NOON, requests: 3, answered: 3 },
      { at: later, requests: 1, answered: 1 },
    ]);
  });

  it('has no minute that is an hour old by now, though it was not when it was counted', () => {
    const tally = tallyOf([endedAt(NOON)], NOON + 59 * MINUTE);
    const { minutes } = addTallies([tally], NOON + 60 * MINUTE);
    expect(minutes.every(({ requests }) => requests === 0)).toBe(true);
  });

  it('has the latest fifty requests of all, the newest first', () => {
    const everySecond = (name: string, from: number) =>
      Array.from({ length: 40 }, (_, i) => endedAt(from + i * 1000, `${name}-${i}`));
    const one = tallyOf(everySecond('one', NOON), NOON);
    const other = tallyOf(everySecond('other', NOON + 500), NOON);
    const ids = addTallies([one, other], NOON).latest.map(({ requestId }) => requestId);
    expect(ids).toHaveLength(50);
    expect(ids.slice(0, 3)).toEqual(['other-39', 'one-39', 'other-38']);
    expect(ids.at(-1)).toBe('one-15');
  });

  it('begins with the first of them to start, and has all that is in flight', () => {
    const tallies = [
      tallyOf([], NOON, { startedAt: NOON - 5, inFlight: 2 }),
      tallyOf([], NOON, { startedAt: NOON - 9, inFlight: 3 }),
    ] as const;
    expect(addTallies(tallies, NOON)).toMatchObject({
      startedAt: NOON - 9,
      inFlight: { google: 5, anam: 5 },
    });
  });

  it('can be read again after it was sent, whatever became of the requests', () => {
    const failed = attemptOf({
      outcome: { kind: 'key_rejected', message: 'leaked', status: 403 },
      parked: { scope: 'key', until: NOON },
      firstMs: null,
    });
    const refused = { kind: 'refused', code: 'upstream_failed', retryAfterMs: null } as const;
    const requests = [endedAt(NOON), requestOf({ attempts: [failed], end: refused })];
    const sent = tallyOf(requests, NOON);
    expect(overviewTally.parse(JSON.parse(JSON.stringify(sent)))).toEqual(sent);
  });
});

describe('what several processes have counted of a key', () => {
  it('is added up, failures by their kind', () => {
    const sum = addKeyTallies([
      keyTallyOf({ inFlight: 1, calls: 5, successes: 3, failures: { rate_limited: 2 } }),
      keyTallyOf({
        inFlight: 2,
        calls: 4,
        successes: 1,
        failures: { rate_limited: 2, upstream_down: 1 },
      }),
    ]);
    expect(sum).toMatchObject({
      inFlight: 3,
      calls: 9,
      successes: 4,
      failures: { rate_limited: 4, upstream_down: 1 },
    });
  });

  it('has the latency of all answers, not the mean of two', () => {
    const slow = keyTallyOf({ firstMs: [900] });
    const fast = keyTallyOf({ firstMs: [30, 10, 20] });
    expect(latencyOf(addKeyTallies([slow, fast]).firstMs)).toEqual({
      p50Ms: 20,
      p95Ms: 900,
      answers: 4,
    });
  });

  it.each([
    ['the first', NOON + 1, NOON],
    ['the second', NOON, NOON + 1],
  ])('has the last error and the last action, when those are of %s', (_, one, other) => {
    const happened = (at: number) =>
      keyTallyOf({
        lastError: { at, kind: 'upstream_down', model: 'flash', message: 'down', status: null },
        lastAction: { at, action: 'park', who: null, why: null },
      });
    const { lastError, lastAction } = addKeyTallies([happened(one), keyTallyOf(), happened(other)]);
    expect([lastError?.at, lastAction?.at]).toEqual([NOON + 1, NOON + 1]);
  });

  it('can be read again after it was sent', () => {
    const sent = keyTallyOf({
      failures: { quota_exhausted: 1 },
      firstMs: [12],
      lastError: { at: 1, kind: 'quota_exhausted', model: 'flash', message: 'm', status: 429 },
      lastAction: { at: 2, action: 'release', who: 'Ana', why: null },
    });
    expect(keyTally.parse(JSON.parse(JSON.stringify(sent)))).toEqual(sent);
  });
});
