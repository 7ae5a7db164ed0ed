import { describe, expect, it } from 'vitest';
import type { KeyPool } from '../../src/pool/key-pool.ts';
import { nextPacificMidnight } from '../../src/shared/pacific-midnight.ts';
import { createPool, failed, google, HOUR, SESSION } from '../support/pool.ts';

const ids = (times: number, lease: () => { key: { id: string } }) =>
  Array.from({ length: times }, () => lease().key.id);

describe('rotation', () => {
  it('leases each key once in turn, in the order of the settings', () => {
    const { lease } = createPool(['a', 'b', 'c']);
    expect(ids(7, lease)).toEqual(['a', 'b', 'c', 'a', 'b', 'c', 'a']);
  });

  it('rotates separately for each model', () => {
    const { lease } = createPool(['a', 'b'], ['flash', 'pro']);
    expect([lease('flash'), lease('pro'), lease('flash')].map((l) => l.key.id)).toEqual([
      'a',
      'a',
      'b',
    ]);
  });

  it('keeps the turn of a key that one request may not use', () => {
    const { pool, lease } = createPool(['a', 'b', 'c']);
    expect(pool.lease(google('flash'), { except: new Set(['a']) })?.key.id).toBe('b');
    expect(ids(3, lease)).toEqual(['a', 'c', 'b']);
  });

  it('knows only its own targets, so that callers cannot grow it', () => {
    const { pool } = createPool(['a']);
    expect(pool.lease(google('constructor'))).toBeNull();
    expect(pool.lease(google('gpt'))).toBeNull();
    expect(pool.inspection.skipped('google', 'gpt', 100)).toEqual([]);
  });
});

describe('cooldown', () => {
  it('parks a key after a 429 without a hint for the hour: still parked one millisecond before, back at it', () => {
    const { pool, clock, lease } = createPool(['a', 'b', 'c']);
    lease().report(failed.unhinted);
    expect(pool.inspection.counts('google')).toEqual({
      total: 3,
      available: 2,
      cooling_down: 1,
      exhausted: 0,
    });
    clock.advance(HOUR - 1);
    expect(ids(4, lease)).not.toContain('a');
    clock.advance(1);
    expect(pool.inspection.counts('google').available).toBe(3);
    expect(ids(3, lease)).toContain('a');
  });

  it('returns a key sooner when the provider says so', () => {
    const { pool, clock, lease } = createPool(['a']);
    lease().report(failed.minute(12_000));
    clock.advance(11_999);
    expect(pool.lease(google('flash'))).toBeNull();
    clock.advance(1);
    expect(pool.lease(google('flash'))).not.toBeNull();
  });

  it('returns each key at its own time when the clock was set back after another one returned', () => {
    const { pool, clock, lease } = createPool(['a', 'b']);
    const start = clock.now();
    const answering = () => {
      const granted = lease();
      granted.report({ kind: 'success' });
      return granted;
    };
    lease().report(failed.minute(10_000));
    lease().report(failed.minute(20_000));
    clock.advance(10_000);
    expect(ids(2, answering)).toEqual(['a', 'a']);
    clock.set(start);
    expect(pool.nextDueAt(google('flash'))).toBe(start + 20_000);
    clock.set(start + 19_999);
    expect(ids(2, answering)).toEqual(['a', 'a']);
    clock.advance(1);
    expect(ids(2, answering)).toContain('b');
  });

  it('never parks longer than the cooldown, whatever the provider says', () => {
    const { pool, clock, lease } = createPool(['a']);
    lease().report(failed.minute(48 * HOUR));
    clock.advance(HOUR);
    expect(pool.lease(google('flash'))).not.toBeNull();
  });

  it("parks a day's quota only until midnight in Los Angeles when that is nearer than the hour", () => {
    const { pool, clock, lease } = createPool(['a']);
    const midnight = nextPacificMidnight(clock.now());
    clock.set(midnight - 10 * 60_000);
    lease().report(failed.day);
    expect(pool.returnsAt(google('flash'))).toBe(midnight);
  });

  it('returns what a report has parked, and until when', () => {
    const { clock, lease } = createPool(['a@shop', 'b@shop']);
    const [first, second, third] = [lease(), lease(), lease()];
    const until = clock.now() + 40_000;
    expect(first.report(failed.minute(40_000))).toEqual({ scope: 'project_model', until });
    expect(second.report(failed.minute(1000))).toEqual({ scope: 'project_model', until });
    expect(third.report(failed.badKey)).toEqual({ scope: 'key', until: clock.now() + HOUR });
  });

  it('does not shorten a stronger finding by a later, weaker one', () => {
    const { pool, clock, lease } = createPool(['a']);
    const [first, second] = [lease(), lease()];
    first.report(failed.day);
    second.report(failed.minute(9000));
    expect(pool.returnsAt(google('flash'))).toBe(clock.now() + HOUR);
    expect(pool.inspection.skipped('google', 'flash', 100)[0]?.cause).toBe('quota_exhausted');
  });
});

describe('scopes', () => {
  it('parks all keys of a project for the model whose quota is spent, and none for another model', () => {
    const { pool, lease } = createPool(['a@shop', 'b@shop', 'c'], ['flash', 'pro']);
    lease('flash').report(failed.day);
    expect(ids(2, () => lease('flash'))).toEqual(['c', 'c']);
    expect(ids(3, () => lease('pro'))).toEqual(['a', 'b', 'c']);
    expect(pool.inspection.counts('google')).toMatchObject({ available: 1, cooling_down: 2 });
  });

  it('parks a rejected key for every model, its siblings for none', () => {
    const { pool, lease } = createPool(['a@shop', 'b@shop'], ['flash', 'pro']);
    lease('pro').report(failed.badKey);
    expect(ids(2, () => lease('flash'))).toEqual(['b', 'b']);
    expect(pool.inspection.counts('google')).toMatchObject({ available: 1, exhausted: 1 });
  });

  it('parks a whole project that is out of credit', () => {
    const { pool, lease } = createPool(['a@shop', 'b@shop', 'c'], ['flash', 'pro']);
    lease('flash').report(failed.money);
    expect(ids(2, () => lease('pro'))).toEqual(['c', 'c']);
    expect(pool.inspection.counts('google')).toMatchObject({ available: 1, exhausted: 2 });
  });

  it('parks only this key for a model that it may not use', () => {
    const { pool, lease } = createPool(['a@shop', 'b@shop'], ['flash', 'pro']);
    lease('flash').report(failed.noModel);
    expect(lease('flash').key.id).toBe('b');
    expect(lease('pro').key.id).toBe('a');
    expect(pool.inspection.counts('google')).toMatchObject({ available: 1, cooling_down: 1 });
  });

  it('parks the whole project for a model for which it has no quota at all', () => {
    const { pool, lease } = createPool(['a@shop', 'b@shop']);
    lease().report(failed.limitZero);
    expect(pool.lease(google('flash'))).toBeNull();
    expect(pool.isModelUnavailable(google('flash'))).toBe(true);
  });

  it.each([
    ['a fault of the request', failed.badRequest],
    ['blocked content', failed.blocked],
    ['an unusable answer', failed.unusable],
    ['a departed client', failed.gone],
    ['a wrong setting of ours', failed.ours],
    ['what belongs to another project', failed.notOwned],
    ["the request's own deadline", failed.late],
    ['a bug of ours', failed.bug],
    ['an upstream failure', failed.down],
  ])('parks nothing for %s', (_, failure) => {
    const { pool, lease } = createPool(['a', 'b']);
    expect(lease().report(failure)).toBeNull();
    expect(pool.inspection.counts('google').available).toBe(2);
  });
});

describe('half-open', () => {
  it('lets exactly one of fifty simultaneous leases through once the time has passed', () => {
    const { pool, clock, lease } = createPool(['a@shop', 'b@shop']);
    lease().report(failed.unhinted);
    clock.advance(HOUR);
    const granted = Array.from({ length: 50 }, () => pool.lease(google('flash')));
    expect(granted.filter((l) => l !== null)).toHaveLength(1);
    expect(pool.returnsAt(google('flash'))).toBe(clock.now());
  });

  it('opens at the first chunk of a success, for every sibling', () => {
    const { clock, lease } = createPool(['a@shop', 'b@shop']);
    lease().report(failed.unhinted);
    clock.advance(HOUR);
    lease().prove();
    expect(ids(2, lease).sort()).toEqual(['a', 'b']);
  });

  it.each([
    ['a fault of the request', failed.badRequest],
    ['blocked content', failed.blocked],
    ['an unusable answer', failed.unusable],
  ])('opens after %s, which a spent key would not have reached', (_, failure) => {
    const { clock, lease } = createPool(['a']);
    lease().report(failed.unhinted);
    clock.advance(HOUR);
    lease().report(failure);
    expect(ids(2, lease)).toEqual(['a', 'a']);
  });

  it('parks again for the whole cooldown when the quota is still spent: one call an hour', () => {
    const { pool, clock, lease } = createPool(['a']);
    lease().report(failed.day);
    clock.advance(HOUR);
    lease().report(failed.day);
    clock.advance(HOUR - 1);
    expect(pool.lease(google('flash'))).toBeNull();
    clock.advance(1);
    expect(pool.lease(google('flash'))).not.toBeNull();
  });

  it("opens the key's own scope when the probe meets a spent quota: the key itself works", () => {
    const { pool, clock, lease } = createPool(['a']);
    lease().report(failed.badKey);
    clock.advance(HOUR);
    expect(pool.inspection.counts('google').exhausted).toBe(1);
    lease().report(failed.minute(5000));
    expect(pool.inspection.counts('google')).toMatchObject({ cooling_down: 1, exhausted: 0 });
  });

  it.each([
    ['an upstream failure', failed.down],
    ['a departed client', failed.gone],
  ])('only gives the probe back after %s', (_, failure) => {
    const { pool, clock, lease } = createPool(['a']);
    lease().report(failed.badKey);
    clock.advance(HOUR);
    lease().report(failure);
    expect(pool.inspection.counts('google').exhausted).toBe(1);
    expect(lease().isProbe).toBe(true);
    expect(pool.lease(google('flash'))).toBeNull();
  });

  it('still counts a key that needs action as exhausted after its hour, until it succeeds', () => {
    const { pool, clock, lease } = createPool(['a', 'b']);
    lease().report(failed.badKey);
    clock.advance(HOUR);
    expect(pool.inspection.counts('google')).toMatchObject({ available: 1, exhausted: 1 });
    ids(2, lease);
    expect(pool.inspection.counts('google').exhausted).toBe(1);
  });
});

describe('when to ask again', () => {
  it('is when the first key returns by itself; a key that needs action counts only where there is no other', () => {
    const { pool, clock, lease } = createPool(['a', 'b']);
    lease().report(failed.badKey);
    expect(pool.retryAt(google('flash'))).toBe(clock.now());
    clock.advance(HOUR / 2);
    const spent = lease();
    spent.report(failed.unhinted);
    expect(pool.returnsAt(google('flash'))).toBe(clock.now() + HOUR / 2);
    expect(pool.retryAt(google('flash'))).toBe(clock.now() + HOUR);
  });

  it('is when the rejected key is probed where there is no other, and never where there is no key', () => {
    const { pool, clock, lease } = createPool(['a']);
    lease().report(failed.badKey);
    expect(pool.retryAt(google('flash'))).toBe(clock.now() + HOUR);
    expect(pool.retryAt(SESSION)).toBeNull();
  });
});

describe('late reports', () => {
  it('changes nothing when a lease reports a second time', () => {
    const { pool, lease } = createPool(['a']);
    const first = lease();
    first.report({ kind: 'success' });
    first.report(failed.badKey);
    expect(pool.inspection.counts('google').available).toBe(1);
  });

  it('ignores the failure of a lease granted before the scope was last opened', () => {
    const { pool, clock, lease } = createPool(['a']);
    const [old, spent] = [lease(), lease()];
    spent.report(failed.minute(1000));
    clock.advance(1000);
    lease().report({ kind: 'success' });
    expect(old.report(failed.day)).toBeNull();
    expect(pool.inspection.counts('google').available).toBe(1);
  });

  it('does not open a scope that was parked after the success was granted its lease', () => {
    const { pool, lease } = createPool(['a']);
    const [slow, spent] = [lease(), lease()];
    spent.report(failed.day);
    slow.report({ kind: 'success' });
    expect(pool.inspection.counts('google').cooling_down).toBe(1);
  });

  it('parks by a stream that meets the end of the quota after its own first chunk', () => {
    const { pool, clock, lease } = createPool(['a']);
    lease().report(failed.minute(1000));
    clock.advance(1000);
    const probe = lease();
    probe.prove();
    expect(probe.report(failed.day)).toEqual({
      scope: 'project_model',
      until: clock.now() + HOUR,
    });
    expect(pool.inspection.counts('google').cooling_down).toBe(1);
  });
});

describe('ejection', () => {
  const failTwice = (except: string[] = []) => {
    const setting = createPool(['a', 'b']);
    const leaseOf = (id: string) => {
      const others = new Set(['a', 'b'].filter((other) => other !== id).concat(except));
      return setting.pool.lease(google('flash'), { except: others });
    };
    leaseOf('a')?.report(failed.down);
    leaseOf('b')?.report({ kind: 'success' });
    leaseOf('a')?.report(failed.down);
    return { ...setting, leaseOf };
  };

  it("ejects a key that failed twice with a sibling's success between, for thirty seconds", () => {
    const { pool, clock, lease } = failTwice();
    expect(pool.inspection.counts('google')).toMatchObject({ available: 1, cooling_down: 1 });
    expect(ids(3, lease)).toEqual(['b', 'b', 'b']);
    clock.advance(29_999);
    expect(lease().key.id).toBe('b');
    clock.advance(1);
    expect(ids(2, lease)).toContain('a');
  });

  it('leases an ejected key as the last resort, and one success ends the ejection', () => {
    const { pool } = failTwice();
    const last = pool.lease(google('flash'), { among: 'last_resort' });
    expect(last?.key.id).toBe('a');
    last?.report({ kind: 'success' });
    expect(pool.inspection.counts('google').available).toBe(2);
  });

  it('counts a key as cooling down while it is leased before its ejection is over', () => {
    const { pool, clock } = failTwice();
    const last = pool.lease(google('flash'), { among: 'last_resort' });
    expect(pool.inspection.counts('google')).toMatchObject({ available: 1, cooling_down: 1 });
    clock.advance(30_000);
    expect(pool.inspection.counts('google')).toMatchObject({ available: 2 });
    last?.report(failed.gone);
  });

  it('ends at the first chunk of any answer, probe or not', () => {
    const { pool } = failTwice();
    pool.lease(google('flash'), { among: 'last_resort' });
    const second = pool.lease(google('flash'), { among: 'last_resort' });
    expect([second?.key.id, second?.isProbe]).toEqual(['a', false]);
    second?.prove();
    expect(pool.inspection.counts('google').available).toBe(2);
  });

  it('is no reason to wait: an ejected key is leased as the last resort', () => {
    const { pool, clock, leaseOf } = failTwice();
    leaseOf('b')?.report(failed.day);
    expect(pool.returnsAt(google('flash'))).toBe(clock.now() + HOUR);
  });

  it('doubles while the failures go on, at most to the cooldown', () => {
    const { pool, clock, leaseOf } = failTwice();
    const ejections: number[] = [];
    for (let turn = 0; turn < 9; turn += 1) {
      const until = pool.inspection.skipped('google', 'flash', 100)[0]?.until ?? 0;
      ejections.push((until - clock.now()) / 1000);
      clock.set(until);
      leaseOf('b')?.report({ kind: 'success' });
      leaseOf('a')?.report(failed.down);
    }
    expect(ejections).toEqual([30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
  });

  it('ejects no key when all fail alike, however often', () => {
    const { pool, lease } = createPool(['a', 'b']);
    for (let turn = 0; turn < 10; turn += 1) lease().report(failed.down);
    expect(pool.inspection.counts('google').available).toBe(2);
  });

  it('does not eject a single key because of its own successes', () => {
    const { pool, lease } = createPool(['a']);
    for (let turn = 0; turn < 6; turn += 1) {
      const cut = lease();
      cut.prove();
      cut.report(failed.down);
    }
    expect(pool.inspection.counts('google').available).toBe(1);
  });

  it('counts fifty leases that hang together as one failure', () => {
    const { pool, clock } = createPool(['a', 'b']);
    const leaseOf = (id: string) =>
      pool.lease(google('flash'), { except: new Set([id === 'a' ? 'b' : 'a']) });
    const hanging = Array.from({ length: 50 }, () => leaseOf('a'));
    for (const lease of hanging) {
      lease?.report(failed.down);
      leaseOf('b')?.report({ kind: 'success' });
    }
    expect(pool.inspection.skipped('google', 'flash', 100)[0]?.until).toBe(clock.now() + 30_000);
  });
});

describe('a lease that uses a part of a key', () => {
  const part = (pool: KeyPool) => pool.lease(google('flash'), { reach: 'part' });

  it('opens what such a lease has parked, and the key itself', () => {
    const { pool, clock } = createPool(['a']);
    part(pool)?.report(failed.minute(1000));
    clock.advance(1000);
    part(pool)?.report({ kind: 'success' });
    expect([
      pool.lease(google('flash'))?.isProbe,
      pool.inspection.counts('google').available,
    ]).toEqual([false, 1]);

    pool.lease(google('flash'))?.report(failed.badKey);
    clock.advance(HOUR);
    part(pool)?.report({ kind: 'success' });
    expect(pool.inspection.counts('google').available).toBe(1);
  });

  it('leaves half-open what a lease of the whole key has parked', () => {
    const { pool, clock, lease } = createPool(['a']);
    lease().report(failed.money);
    clock.advance(HOUR);
    for (let turn = 0; turn < 3; turn += 1) {
      const minting = part(pool);
      expect(minting?.isProbe).toBe(true);
      minting?.report({ kind: 'success' });
      expect(pool.inspection.counts('google')).toMatchObject({ available: 0, exhausted: 1 });
    }
    lease().report({ kind: 'success' });
    expect(pool.inspection.counts('google').available).toBe(1);
  });

  it('parks what it finds for every lease', () => {
    const { pool } = createPool(['a']);
    part(pool)?.report(failed.day);
    expect(pool.lease(google('flash'))).toBeNull();
  });
});

describe('a fault of the request that proves nothing', () => {
  it('opens nothing and parks nothing: the probe is given back', () => {
    const { pool, clock, lease } = createPool(['a']);
    lease().report(failed.money);
    clock.advance(HOUR);
    lease().report(failed.badToken);
    expect(pool.inspection.counts('google')).toMatchObject({ exhausted: 1 });
    const next = lease();
    expect(next.isProbe).toBe(true);
    next.report(failed.badRequest);
    expect(pool.inspection.counts('google').available).toBe(1);
  });
});

describe('a limit of the whole project', () => {
  it('parks all its keys for every model until the time that the provider sets', () => {
    const { pool, clock } = createPool(['a@shop', 'b@shop', 'c'], ['flash', 'pro']);
    pool.lease(google('flash'))?.report(failed.slots(90_000));
    expect(pool.inspection.counts('google')).toMatchObject({ available: 1, cooling_down: 2 });
    expect(pool.inspection.skipped('google', 'pro', 10).map(({ id }) => id)).toEqual(['a', 'b']);
    clock.advance(90_000);
    expect(pool.inspection.counts('google')).toMatchObject({ available: 3 });
  });
});

describe('a request that can use some keys only', () => {
  const ofC = ({ id }: { readonly id: string }) => id === 'c';

  it('gets one of them, and the times of these keys only', () => {
    const { pool, clock } = createPool(['a', 'b', 'c']);
    const only = { only: ofC };
    const lease = pool.lease(google('flash'), only);
    expect(lease?.key.id).toBe('c');
    lease?.report(failed.minute(5000));
    expect(pool.hasLease(google('flash'), only)).toBe(false);
    expect(pool.returnsAt(google('flash'), only)).toBe(clock.now() + 5000);
    expect(pool.retryAt(google('flash'), only)).toBe(clock.now() + 5000);
    expect(pool.retryAt(google('flash'))).toBe(clock.now());
    expect(pool.lease(google('flash'))?.key.id).toBe('a');
  });

  it('has no model when those keys lack it', () => {
    const { pool } = createPool(['a', 'b', 'c']);
    pool.lease(google('flash'), { only: ofC })?.report(failed.noModel);
    expect(pool.isModelUnavailable(google('flash'), { only: ofC })).toBe(true);
    expect(pool.isModelUnavailable(google('flash'))).toBe(false);
    const others = { except: new Set(['a', 'b']) };
    expect(pool.isModelUnavailable(google('flash'), others)).toBe(true);
  });
});
