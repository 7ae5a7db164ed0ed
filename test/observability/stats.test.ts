import { describe, expect, it } from 'vitest';
import { createStats } from '../../src/observability/stats.ts';
import { isoTime } from '../../src/shared/clock.ts';
import { failed } from '../support/pool.ts';
import { attemptOf, requestOf } from '../support/records.ts';

const MINUTE = 60_000;
const NOON = Date.UTC(2026, 10, 24, 12);

describe('the last hour by minutes', () => {
  const refused = { kind: 'refused', code: 'all_keys_exhausted', retryAfterMs: null } as const;

  it('counts each request in the minute in which it ended, by what became of it', () => {
    const stats = createStats();
    const at = { startedAt: NOON - 1000, ms: 1000 };
    const [first, second] = [attemptOf({ key: 'google' }), attemptOf({ key: 'google-2' })];
    stats.requestEnded(requestOf(at));
    stats.requestEnded(requestOf({ ...at, attempts: [first, second] }));
    stats.requestEnded(requestOf({ ...at, end: refused }));
    stats.requestEnded(requestOf({ ...at, end: { kind: 'broken_off' } }));
    stats.requestEnded(requestOf({ ...at, end: { kind: 'internal_error' } }));
    stats.requestEnded(requestOf({ ...at, end: { kind: 'client_gone' } }));
    const list = stats.minutes(NOON + MINUTE - 1);
    expect(list).toHaveLength(60);
    expect(list.at(-1)).toEqual({
      at: isoTime(NOON),
      requests: 6,
      answered: 2,
      fallbacks: 1,
      refused: 1,
      brokenOff: 2,
      turnedAway: 0,
      overBudget: 0,
    });
    expect(list.slice(0, -1).every(({ requests }) => requests === 0)).toBe(true);
  });

  it.each([1, 37, 59])('has its place for minute %i, with nothing before it', (minute) => {
    const stats = createStats();
    stats.requestEnded(requestOf({ startedAt: NOON + minute * MINUTE }));
    const list = stats.minutes(NOON + minute * MINUTE);
    expect(list.at(-1)).toMatchObject({ at: isoTime(NOON + minute * MINUTE), requests: 1 });
    expect(list.slice(0, -1).every(({ requests }) => requests === 0)).toBe(true);
  });

  it('forgets what is an hour old, and does not take it for now', () => {
    const stats = createStats();
    stats.requestEnded(requestOf({ startedAt: NOON }));
    expect(stats.minutes(NOON + 59 * MINUTE)[0]).toMatchObject({ at: isoTime(NOON), requests: 1 });
    expect(stats.minutes(NOON + 60 * MINUTE).every(({ requests }) => requests === 0)).toBe(true);
    stats.requestEnded(requestOf({ startedAt: NOON + 60 * MINUTE }));
    expect(stats.minutes(NOON + 60 * MINUTE).at(-1)).toMatchObject({ requests: 1 });
  });
});

describe('the latest requests', () => {
  it('are fifty, the newest first, however many there were', () => {
    const stats = createStats();
    for (let i = 0; i < 1000; i += 1) stats.requestEnded(requestOf({ requestId: `request-${i}` }));
    const ids = stats.latest().map(({ requestId }) => requestId);
    expect(ids).toHaveLength(50);
    expect([ids[0], ids[49]]).toEqual(['request-999', 'request-950']);
  });

  it('keep the last ten attempts of one that had many', () => {
    const stats = createStats();
    const attempts = Array.from({ length: 25 }, (_, i) => attemptOf({ key: `google-${i}` }));
    stats.requestEnded(requestOf({ attempts }));
    const [request] = stats.latest();
    expect(request?.attemptsInAll).toBe(25);
    expect(request?.attempts.map(({ key }) => key).at(0)).toBe('google-15');
    expect(request?.attempts).toHaveLength(10);
  });
});

describe('the stats of a key', () => {
  it('counts failures by their kind, and takes none for its last error that says nothing of it', () => {
    const stats = createStats();
    stats.requestEnded(requestOf());
    stats.attemptFailed(
      attemptOf({ outcome: { kind: 'key_rejected', message: 'leaked', status: 403 }, ms: 5 }),
    );
    for (const { kind } of [failed.gone, failed.badRequest, failed.blocked]) {
      stats.attemptFailed(attemptOf({ outcome: { kind, message: 'nothing' } }));
    }
    stats.attemptFailed(attemptOf({ outcome: failed.unusable }));
    expect(stats.ofKey('google', NOON)).toMatchObject({
      calls: 6,
      successes: 1,
      failures: {
        ...{ key_rejected: 1, client_gone: 1, request_fault: 1 },
        ...{ content_blocked: 1, unusable_answer: 1 },
      },
      lastError: {
        at: '1970-01-01T00:00:00.005Z',
        kind: 'key_rejected',
        model: 'flash',
        message: 'leaked',
        status: 403,
      },
    });
    expect(stats.ofKey('google-2', NOON)).toMatchObject({
      calls: 0,
      lastError: null,
      latency: null,
    });
  });
});

describe('the latency of a key', () => {
  const answers = (number: number, ms: number) => {
    const stats = createStats();
    for (let i = 1; i <= number; i += 1) {
      stats.requestEnded(
        requestOf({ attempts: [attemptOf({ startedAt: NOON, firstMs: i * ms })] }),
      );
    }
    return stats;
  };

  it('is what half and what nineteen of twenty answers do not exceed', () => {
    const { latency } = answers(20, 10).ofKey('google', NOON);
    expect(latency).toEqual({ p50Ms: 100, p95Ms: 190, answers: 20 });
  });

  it('is of the last 64 answers, and none older than five minutes', () => {
    const stats = answers(1000, 1);
    const last = NOON + 5 * MINUTE - 1;
    expect(stats.ofKey('google', last).latency).toMatchObject({ p50Ms: 968, answers: 64 });
    expect(stats.ofKey('google', last + 1).latency).toBeNull();
  });
});
