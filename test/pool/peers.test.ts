import { describe, expect, it } from 'vitest';
import type { ProbeRequest } from '../../src/pool/half-open.ts';
import type { Scope } from '../../src/pool/scope.ts';
import { createPool, failed, google, HOUR } from '../support/pool.ts';

/** A pool with recorded peers; the test answers for them. */
function createSetting(names = ['a', 'b'], models = ['flash']) {
  const found: Scope[] = [];
  const asked: ProbeRequest[] = [];
  const peers = {
    found: (scope: Scope) => void found.push(scope),
    ask: (probe: ProbeRequest) => void asked.push(probe),
    used: () => {},
  };
  const setting = createPool(names, models, undefined, peers);
  const { pool, clock } = setting;
  const leaseOf = (id: string, model = 'flash') =>
    pool.lease(google(model), { only: (key) => key.id === id });
  const isUsable = (id: string) => pool.hasLease(google('flash'), { only: (key) => key.id === id });
  const spend = (id: string, model = 'flash') => leaseOf(id, model)?.report(failed.day);
  const askedFor = () => asked.shift() ?? expect.fail('the peers were not asked');
  const soon = () => clock.now() + 100;
  return { ...setting, found, asked, leaseOf, isUsable, spend, askedFor, soon };
}

describe('a half-open key that other instances use too', () => {
  it('is probed by the next lease after they permit it', () => {
    const { clock, spend, leaseOf, asked, askedFor, isUsable } = createSetting();
    spend('a');
    clock.advance(HOUR - 1);
    expect(leaseOf('a')).toBeNull();
    expect(asked).toHaveLength(0);
    clock.advance(1);
    expect(leaseOf('a')).toBeNull();
    askedFor().allow();
    expect(leaseOf('a')?.isProbe).toBe(true);
    expect(isUsable('a')).toBe(false);
  });

  it('lets requests use the other keys meanwhile', () => {
    const { clock, spend, lease, asked } = createSetting();
    spend('a');
    clock.advance(HOUR);
    expect(lease().key.id).toBe('b');
    expect(asked).toHaveLength(1);
  });

  it('is probed at once when the answer comes at once', () => {
    const peers = { found: () => {}, ask: (probe: ProbeRequest) => probe.allow(), used: () => {} };
    const { pool, clock, lease } = createPool(['a'], ['flash'], undefined, peers);
    lease().report(failed.day);
    clock.advance(HOUR);
    expect(pool.lease(google('flash'))?.isProbe).toBe(true);
  });

  it('is the next key in turn once its probe is permitted', () => {
    const { clock, spend, lease, askedFor } = createSetting(['a', 'b', 'c']);
    spend('a');
    clock.advance(HOUR);
    lease();
    askedFor().allow();
    expect(lease().key.id).toBe('a');
  });

  it('is left to the instance that probes it, and asked for again when that takes too long', () => {
    const { pool, clock, spend, leaseOf, asked, askedFor, soon } = createSetting(['a']);
    spend('a');
    clock.advance(HOUR);
    leaseOf('a');
    const until = soon();
    askedFor().deny(until);
    expect(leaseOf('a')).toBeNull();
    expect(pool.returnsAt(google('flash'))).toBe(clock.now());
    expect(pool.nextDueAt(google('flash'))).toBe(until);
    clock.set(until - 1);
    expect([leaseOf('a'), asked.length]).toEqual([null, 0]);
    clock.set(until);
    expect([leaseOf('a'), asked.length]).toEqual([null, 1]);
  });

  it('is asked for again when no answer ever comes', () => {
    const { clock, spend, leaseOf, asked } = createSetting(['a']);
    spend('a');
    clock.advance(HOUR);
    leaseOf('a');
    leaseOf('a');
    expect(asked).toHaveLength(1);
    clock.advance(1000);
    leaseOf('a');
    expect(asked).toHaveLength(2);
  });

  it('is asked for again after each probe that proved nothing', () => {
    const { clock, spend, leaseOf, asked, askedFor } = createSetting(['a']);
    spend('a');
    clock.advance(HOUR);
    leaseOf('a');
    askedFor().allow();
    leaseOf('a')?.report(failed.gone);
    expect(leaseOf('a')).toBeNull();
    expect(asked).toHaveLength(1);
  });

  it('is left to the others when the permission is withdrawn unused', () => {
    const { clock, spend, leaseOf, askedFor, asked } = createSetting(['a']);
    spend('a');
    clock.advance(HOUR);
    leaseOf('a');
    const probe = askedFor();
    probe.allow();
    expect(probe.withdraw()).toHaveLength(1);
    expect([leaseOf('a'), asked.length]).toEqual([null, 1]);
  });

  it('stays with the lease that probes it when the permission is withdrawn', () => {
    const { clock, spend, leaseOf, askedFor } = createSetting(['a']);
    spend('a');
    clock.advance(HOUR);
    leaseOf('a');
    const probe = askedFor();
    probe.allow();
    const lease = leaseOf('a');
    expect(probe.withdraw()).toHaveLength(0);
    lease?.report({ kind: 'success' });
    expect(leaseOf('a')?.isProbe).toBe(false);
  });

  it('is one of at most four that are asked for at a time', () => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f'];
    const { pool, clock, spend, asked, askedFor } = createSetting(names);
    for (const name of names) spend(name);
    clock.advance(HOUR);
    for (const _ of names) pool.lease(google('flash'));
    expect(asked).toHaveLength(4);
    expect(pool.isAsking(google('flash'))).toBe(true);
    askedFor().allow();
    pool.lease(google('flash'));
    expect(asked).toHaveLength(4);
  });

  it('is not asked for when the clock was set back to before its time', () => {
    const { pool, clock, spend, asked, lease } = createSetting();
    spend('a');
    const spentAt = clock.now();
    clock.advance(HOUR);
    pool.returnsAt(google('flash'));
    clock.set(spentAt);
    for (let call = 0; call < 4; call += 1) expect(lease().key.id).toBe('b');
    expect(asked).toHaveLength(0);
    clock.advance(HOUR);
    lease();
    expect(asked).toHaveLength(1);
  });

  it('needs no permission after a park by the operator', () => {
    const { pool, clock, leaseOf, asked } = createSetting();
    pool.operator.park('a', HOUR);
    clock.advance(HOUR);
    expect(leaseOf('a')?.isProbe).toBe(false);
    expect(asked).toHaveLength(0);
  });
});

describe('what is published', () => {
  it('is each change that was found here, and no success without one', () => {
    const { clock, lease, leaseOf, spend, found, askedFor } = createSetting();
    lease().report({ kind: 'success' });
    expect(found).toHaveLength(0);
    spend('a');
    expect(found.map(({ subject }) => subject)).toEqual([
      { kind: 'project_model', provider: 'google', of: 'a', target: 'flash' },
    ]);
    clock.advance(HOUR);
    leaseOf('a');
    askedFor().allow();
    leaseOf('a')?.report({ kind: 'success' });
    expect(found).toHaveLength(2);
    expect(found[1]?.sharedHealth).toMatchObject({ found: null });
  });

  it('is no ejection', () => {
    const { leaseOf, found } = createSetting();
    leaseOf('a')?.report(failed.down);
    leaseOf('b')?.report({ kind: 'success' });
    leaseOf('a')?.report(failed.down);
    expect(leaseOf('a')).toBeNull();
    expect(found).toHaveLength(0);
  });

  it('is a release of every scope of the key, parked here or not', () => {
    const { pool, found } = createSetting(['a'], ['flash', 'pro']);
    pool.operator.release('a');
    const kinds = found.map(({ subject }) => [subject?.kind, subject?.target].join(' '));
    expect(new Set(kinds)).toEqual(
      new Set([
        ...['key ', 'project ', 'operator '],
        ...['flash', 'pro'].flatMap((model) => [`key_model ${model}`, `project_model ${model}`]),
      ]),
    );
  });
});

describe('a merge', () => {
  /** Two pools: `pass` merges what the second found into the first. */
  function createTwo(names?: string[]) {
    const here = createSetting(names);
    const there = createSetting(names);
    const { sharedScopes: scopes } = here.pool;
    const learn = ({ subject, sharedHealth: known }: Scope) => {
      const scope = subject === null ? null : scopes.find(subject);
      if (scope !== null) scopes.merge(scope, known);
    };
    const pass = () => there.found.splice(0).forEach(learn);
    return { here, there, pass };
  }

  it('parks a key that another instance found spent, with its cause and its time', () => {
    const { here, there, pass } = createTwo();
    there.spend('a');
    pass();
    expect(here.isUsable('a')).toBe(false);
    expect(here.pool.inspection.states('google', 'flash')).toEqual(
      there.pool.inspection.states('google', 'flash'),
    );
  });

  it('opens a key that was released in another instance', () => {
    const { here, there, pass } = createTwo();
    here.spend('a');
    here.clock.advance(1);
    there.clock.advance(1);
    there.pool.operator.release('a');
    pass();
    expect(here.isUsable('a')).toBe(true);
  });

  it('does not open a key that was found spent after that release', () => {
    const { here, there, pass } = createTwo();
    there.pool.operator.release('a');
    here.clock.advance(1);
    here.spend('a');
    pass();
    expect(here.isUsable('a')).toBe(false);
  });

  it('ignores later reports of leases from before the release', () => {
    const { here, there, pass } = createTwo();
    const before = here.leaseOf('a');
    for (const { clock } of [here, there]) clock.advance(1);
    there.pool.operator.release('a');
    pass();
    before?.report(failed.day);
    expect(here.isUsable('a')).toBe(true);
  });

  it('keeps the longer of two findings in any order', () => {
    const { here, there, pass } = createTwo();
    here.leaseOf('a')?.report(failed.minute(HOUR / 2));
    there.leaseOf('a')?.report(failed.minute(HOUR / 4));
    pass();
    here.clock.advance(HOUR / 4);
    expect(here.isUsable('a')).toBe(false);
    there.leaseOf('b')?.report(failed.day);
    here.leaseOf('b')?.report(failed.minute(1000));
    pass();
    expect(here.pool.inspection.facts('google', 'flash', 'b')?.state.cause).toBe('quota_exhausted');
  });

  it("keeps the operator's last park, even the shorter one", () => {
    const { here, there, pass } = createTwo();
    here.pool.operator.park('a', HOUR);
    for (const { clock } of [here, there]) clock.advance(1);
    there.pool.operator.park('a', HOUR / 2);
    pass();
    here.clock.advance(HOUR / 2);
    expect(here.isUsable('a')).toBe(true);
  });

  it('ends the wait for a probe that is over in another instance', () => {
    const { here } = createTwo(['a']);
    here.spend('a');
    here.clock.advance(HOUR);
    here.leaseOf('a');
    const probe = here.askedFor();
    probe.deny(here.clock.now() + HOUR);
    const [scope] = probe.scopes;
    if (scope !== undefined) here.pool.sharedScopes.probeEnded(scope);
    here.leaseOf('a');
    expect(here.asked).toHaveLength(1);
  });

  it('finds no scope of an unknown key or target', () => {
    const { pool } = createSetting();
    const subject = { kind: 'key', provider: 'google', of: 'nobody', target: null } as const;
    expect(pool.sharedScopes.find(subject)).toBeNull();
    expect(
      pool.sharedScopes.find({ ...subject, kind: 'key_model', of: 'a', target: 'x' }),
    ).toBeNull();
    expect(pool.sharedScopes.find({ ...subject, of: 'a' })).not.toBeNull();
  });
});
