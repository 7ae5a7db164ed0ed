import { describe, expect, it } from 'vitest';
import type { EndedTrace } from '../../src/failover/trace.ts';
import {
  addUp,
  createStats,
  lastHour,
  mergePeriods,
  p95Of,
  type Stats,
} from '../../src/observability/stats.ts';
import { failed } from '../support/pool.ts';
import { attemptOf, requestOf } from '../support/records.ts';

const MINUTE = 60_000;
const NOON = Date.UTC(2026, 10, 24, 12);

const TROUBLE = { kind: 'refused', code: 'all_keys_exhausted', retryAfterMs: null } as const;

function minutesOf(stats: Stats, now: number) {
  const span = lastHour(now);
  return mergePeriods([stats.periods(span)], span);
}

describe('the last hour by minutes', () => {
  it('counts each request in the minute in which it ended, by what became of it', () => {
    const stats = createStats();
    const at = { startedAt: NOON - 1000, ms: 1000 };
    const [first, second] = [attemptOf({ key: 'google' }), attemptOf({ key: 'google-2' })];
    stats.requestEnded(requestOf({ ...at, operation: 'embeddings' }));
    stats.requestEnded(requestOf({ ...at, operation: 'embeddings', attempts: [first, second] }));
    stats.requestEnded(requestOf({ ...at, end: TROUBLE, success: null }));
    stats.requestEnded(requestOf({ ...at, end: { kind: 'broken_off' }, success: null }));
    stats.requestEnded(requestOf({ ...at, end: { kind: 'internal_error' }, success: null }));
    stats.requestEnded(requestOf({ ...at, end: { kind: 'client_gone' }, success: null }));
    stats.turnedAway(NOON + MINUTE - 1);
    stats.overBudget(NOON);
    const list = minutesOf(stats, NOON + MINUTE - 1);
    expect(list).toHaveLength(60);
    expect(list.at(-1)).toEqual({
      minute: NOON / MINUTE,
      ...{ requests: 6, answered: 2, fallbacks: 1, refused: 1, brokenOff: 2 },
      ...{ turnedAway: 1, overBudget: 1, tokens: 0, firstWords: [] },
    });
    expect(list.slice(0, -1).every(({ requests }) => requests === 0)).toBe(true);
  });

  it('measures the first words from the request, not from the attempt that brought them', () => {
    const stats = createStats();
    const late = attemptOf({ startedAt: NOON + 7000, firstMs: 1000 });
    stats.requestEnded(requestOf({ startedAt: NOON, ms: 9000, waitedMs: 7000, attempts: [late] }));
    const p95 = p95Of(addUp(0, minutesOf(stats, NOON))) ?? 0;
    expect(Math.abs(p95 / 8000 - 1)).toBeLessThan(0.1);
  });
});

describe('the latest requests', () => {
  it('are fifty, the newest first, however many there were', () => {
    const stats = createStats();
    for (let i = 0; i < 1000; i += 1) stats.requestEnded(requestOf({ requestId: `request-${i}` }));
    const ids = stats.latest().map(({ request }) => request.requestId);
    expect(ids).toHaveLength(50);
    expect([ids[0], ids[49]]).toEqual(['request-999', 'request-950']);
  });

  it('keep the last ten attempts of one that had many', () => {
    const stats = createStats();
    const attempts = Array.from({ length: 25 }, (_, i) => attemptOf({ key: `google-${i}` }));
    stats.requestEnded(requestOf({ attempts }));
    const kept = stats.find('request-1');
    expect(kept?.attemptsInAll).toBe(25);
    expect(kept?.request.attempts.map(({ key }) => key).at(0)).toBe('google-15');
    expect(kept?.request.attempts).toHaveLength(10);
  });
});

describe('a request with trouble', () => {
  function endInTrouble(stats: Stats, request: EndedTrace): void {
    stats.requestHadTrouble(request);
    stats.requestEnded(request);
  }
  const success = (id: string) => requestOf({ requestId: id });
  const twoKeys = (id: string) =>
    requestOf({ requestId: id, attempts: [attemptOf({ key: 'a' }), attemptOf({ key: 'b' })] });
  const refused = (id: string, startedAt = NOON) =>
    requestOf({ requestId: id, startedAt, success: null, end: TROUBLE });

  it('is found after any number of successes, which are forgotten after fifty', () => {
    const stats = createStats();
    stats.requestEnded(success('well'));
    for (const request of [twoKeys('switched'), refused('refused')]) endInTrouble(stats, request);
    for (let i = 0; i < 1000; i += 1) stats.requestEnded(success(`later-${i}`));
    expect(stats.find('well')).toBeNull();
    expect(stats.find('switched')?.request.attempts).toHaveLength(2);
    expect(stats.find('refused')?.request.end).toEqual(TROUBLE);
  });

  it('is found as long as its group of failures, after any number of others with trouble', () => {
    const stats = createStats();
    endInTrouble(stats, refused('refused'));
    for (let i = 0; i < 499; i += 1) endInTrouble(stats, twoKeys(`later-${i}`));
    expect(stats.find('later-0')).not.toBeNull();
    for (let i = 499; i < 1000; i += 1) endInTrouble(stats, twoKeys(`later-${i}`));
    expect(stats.find('later-0')).toBeNull();
    expect(stats.find('refused')?.request.end).toEqual(TROUBLE);
    stats.failures.list(NOON + 60 * MINUTE);
    expect(stats.find('refused')).toBeNull();
  });

  it('is the latest where several have its id', () => {
    const stats = createStats();
    endInTrouble(stats, refused('twice', NOON));
    endInTrouble(stats, refused('twice', NOON + 1));
    expect(stats.find('twice')?.request.startedAt).toBe(NOON + 1);
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
