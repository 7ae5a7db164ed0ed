import { describe, expect, it } from 'vitest';
import { createPool, failed, google, HOUR } from '../support/pool.ts';

const MINUTE = 60_000;

function createSetting(names = ['a', 'b'], models = ['flash', 'pro']) {
  const setting = createPool(names, models);
  const { pool } = setting;
  const leaseOf = (id: string, model = 'flash') =>
    pool.lease(google(model), { only: (key) => key.id === id });
  const factsOf = (id: string, model = 'flash') => {
    const facts = pool.inspection.facts('google', model, id);
    if (facts === null) throw new Error('no such key');
    return facts;
  };
  return { ...setting, leaseOf, factsOf };
}

describe('a key that the operator releases', () => {
  it('can be leased at once for every model, whatever was found about it', () => {
    const { pool, leaseOf } = createSetting();
    leaseOf('a')?.report(failed.day);
    leaseOf('a', 'pro')?.report(failed.badKey);
    expect(leaseOf('a')).toBeNull();
    pool.operator.release('a');
    expect(pool.inspection.counts('google')).toMatchObject({ available: 2, exhausted: 0 });
    expect(leaseOf('a')?.isProbe).toBe(false);
    expect(leaseOf('a', 'pro')?.isProbe).toBe(false);
  });

  it('opens its project for its siblings too', () => {
    const { pool, leaseOf } = createSetting(['a@shop', 'b@shop']);
    leaseOf('a')?.report(failed.money);
    expect(leaseOf('b')).toBeNull();
    pool.operator.release('a');
    expect(leaseOf('b')?.key.id).toBe('b');
  });

  it('stays open when a lease from before reports a failure, and is parked by one from after', () => {
    const { pool, leaseOf } = createSetting();
    const before = leaseOf('a');
    leaseOf('a')?.report(failed.day);
    pool.operator.release('a');
    before?.report(failed.day);
    expect(leaseOf('a')).not.toBeNull();
    leaseOf('a')?.report(failed.day);
    expect(leaseOf('a')).toBeNull();
  });

  it('keeps its features when a special request from before is refused without a cause', () => {
    const { pool } = createSetting(['a@shop', 'b@shop']);
    const unexplained = { ...failed.unhinted, kind: 'quota_unexplained' } as const;
    const search = () =>
      pool.lease(google('flash'), {
        shape: () => ({ features: ['search'], tokens: 1, mostTokens: 4 }),
      });
    const before = search();
    pool.operator.release('a');
    expect(before?.report(unexplained)).toBeNull();
    const after = search();
    expect(after?.report(unexplained)).toMatchObject({ scope: 'project_model_feature' });
    expect(search()).toBeNull();
  });

  it('is asked in its turn again, if it was slow', () => {
    const { pool, leaseOf } = createSetting();
    const lost = { kind: 'superseded', wasSlower: 'clearly', message: 'slow' } as const;
    leaseOf('a')?.report(lost);
    const turns = () => [1, 2, 3, 4].map(() => pool.lease(google('flash'))?.key.id);
    expect(turns()).toEqual(['b', 'b', 'b', 'b']);
    pool.operator.release('a');
    expect(turns().filter((id) => id === 'a')).toHaveLength(2);
  });

  it('is not ejected any more, and failures from before do not eject it again', () => {
    const { pool, leaseOf } = createSetting();
    const late = leaseOf('a');
    leaseOf('a')?.report(failed.down);
    leaseOf('b')?.report({ kind: 'success' });
    leaseOf('a')?.report(failed.down);
    expect(leaseOf('a')).toBeNull();
    pool.operator.release('a');
    late?.report(failed.down);
    leaseOf('b')?.report({ kind: 'success' });
    leaseOf('a')?.report(failed.down);
    expect(leaseOf('a')).not.toBeNull();
  });

  it('does not count the upstream failure of a lease from before', () => {
    const { pool, leaseOf } = createSetting();
    const late = leaseOf('a');
    pool.operator.release('a');
    late?.report(failed.down);
    leaseOf('b')?.report({ kind: 'success' });
    leaseOf('a')?.report(failed.down);
    expect(leaseOf('a')).not.toBeNull();
  });

  it('is null for an unknown id', () => {
    expect(createSetting().pool.operator.release('nobody')).toBeNull();
  });
});

describe('a key that the operator parks', () => {
  it('is not leased until its time has passed, and then needs no probe', () => {
    const { pool, clock, leaseOf } = createSetting();
    pool.operator.park('a', 15 * MINUTE);
    expect(pool.inspection.counts('google')).toMatchObject({ available: 1, cooling_down: 1 });
    clock.advance(15 * MINUTE - 1);
    expect([leaseOf('a'), leaseOf('a', 'pro')]).toEqual([null, null]);
    expect(pool.returnsAt(google('flash'), { only: ({ id }) => id === 'a' })).toBe(clock.now() + 1);
    clock.advance(1);
    expect([leaseOf('a')?.isProbe, leaseOf('a')?.isProbe]).toEqual([false, false]);
    expect(leaseOf('a', 'pro')?.isProbe).toBe(false);
  });

  it('stays parked when an attempt from before succeeds', () => {
    const { pool, leaseOf } = createSetting();
    const before = leaseOf('a');
    pool.operator.park('a', HOUR);
    before?.report({ kind: 'success' });
    expect(leaseOf('a')).toBeNull();
  });

  it('stays parked when a probe from before succeeds', () => {
    const { pool, clock, leaseOf } = createSetting();
    leaseOf('a')?.report(failed.day);
    clock.advance(HOUR);
    const probe = leaseOf('a');
    pool.operator.park('a', HOUR);
    probe?.report({ kind: 'success' });
    expect(leaseOf('a')).toBeNull();
  });

  it('is parked as long as the operator said last, be it longer or shorter', () => {
    const { pool, clock, leaseOf } = createSetting();
    pool.operator.park('a', HOUR);
    pool.operator.park('a', MINUTE);
    clock.advance(MINUTE);
    expect(leaseOf('a')).not.toBeNull();
  });

  it('may be parked for longer than the cooldown', () => {
    const { pool, clock, leaseOf } = createSetting();
    pool.operator.park('a', 8 * HOUR);
    clock.advance(8 * HOUR - 1);
    expect(leaseOf('a')).toBeNull();
  });

  it('still needs action when it was rejected before', () => {
    const { pool, leaseOf, clock } = createSetting();
    leaseOf('a')?.report(failed.badKey);
    pool.operator.park('a', MINUTE);
    expect(pool.inspection.counts('google')).toMatchObject({ exhausted: 1 });
    clock.advance(MINUTE);
    expect(leaseOf('a')).toBeNull();
  });

  it('says until when it is parked, even when it was rejected before', () => {
    const { pool, leaseOf, factsOf, clock } = createSetting();
    leaseOf('a')?.report(failed.badKey);
    pool.operator.park('a', 5 * HOUR);
    const until = clock.now() + 5 * HOUR;
    const state = { state: 'exhausted', cause: 'key_rejected', until, untilBy: 'operator' };
    expect(factsOf('a').state).toMatchObject(state);
    clock.advance(2 * HOUR);
    expect(factsOf('a').state).toMatchObject(state);
  });

  it('counts its calls until they have ended', () => {
    const { pool, leaseOf, factsOf } = createSetting();
    const leases = [leaseOf('a'), leaseOf('a', 'pro')];
    expect([factsOf('a').inFlight, pool.inspection.inFlight('google')]).toEqual([2, 2]);
    leases[0]?.report({ kind: 'success' });
    leases[0]?.report({ kind: 'success' });
    leases[1]?.report(failed.day);
    expect([factsOf('a').inFlight, pool.inspection.inFlight('google')]).toEqual([0, 0]);
  });
});

describe('the facts of a key', () => {
  it('name each scope that is not ready, with its target and what sets the time', () => {
    const { leaseOf, factsOf, clock } = createSetting();
    const since = clock.now();
    leaseOf('a')?.report(failed.minute(MINUTE));
    leaseOf('a', 'pro')?.report(failed.noModel);
    const until = { minute: since + MINUTE, hour: since + HOUR };
    const common = {
      state: 'parked',
      isProbing: false,
      features: [],
      effect: 'cooling_down',
      since,
    };
    expect(factsOf('a').scopes).toEqual([
      {
        ...common,
        scope: 'project_model',
        target: google('flash'),
        cause: 'rate_limited',
        untilBy: 'provider',
        until: until.minute,
      },
      {
        ...common,
        scope: 'key_model',
        target: google('pro'),
        cause: 'model_unavailable',
        untilBy: 'rule',
        until: until.hour,
      },
    ]);
    expect(factsOf('b').scopes).toEqual([]);
  });

  it('say when a scope is half-open, and when a probe is under way', () => {
    const { leaseOf, factsOf, clock } = createSetting();
    leaseOf('a')?.report(failed.badKey);
    clock.advance(HOUR);
    expect(factsOf('a').scopes).toMatchObject([{ state: 'half_open', isProbing: false }]);
    leaseOf('a');
    expect(factsOf('a').scopes).toMatchObject([{ state: 'half_open', isProbing: true }]);
  });

  it('show the last hour, the gravest cause where two overlap, and nothing older', () => {
    const { pool, leaseOf, factsOf, clock } = createSetting();
    const start = clock.now();
    const at = (minutes: number) => start + minutes * MINUTE;
    leaseOf('a')?.report(failed.minute(10 * MINUTE));
    clock.advance(20 * MINUTE);
    leaseOf('a')?.report({ kind: 'success' });
    const late = leaseOf('a', 'pro');
    leaseOf('a')?.report(failed.day);
    clock.advance(5 * MINUTE);
    late?.report(failed.badKey);
    clock.advance(5 * MINUTE);
    pool.operator.release('a');
    clock.advance(5 * MINUTE);
    expect(factsOf('a').history).toEqual([
      { from: at(0), to: at(10), state: 'cooling_down', cause: 'rate_limited' },
      { from: at(20), to: at(25), state: 'cooling_down', cause: 'quota_exhausted' },
      { from: at(25), to: at(30), state: 'exhausted', cause: 'key_rejected' },
    ]);
    expect(factsOf('a', 'pro').history).toHaveLength(1);
    clock.advance(30 * MINUTE);
    expect(factsOf('a').history[0]).toMatchObject({ from: at(5), to: at(10) });
    clock.advance(HOUR);
    expect(factsOf('a').history).toEqual([]);
  });

  it('show two parks with one cause as two, and the longer one where two overlap', () => {
    const { pool, leaseOf, factsOf, clock } = createSetting();
    const start = clock.now();
    const at = (minutes: number) => start + minutes * MINUTE;
    leaseOf('a')?.report(failed.minute(10 * MINUTE));
    clock.advance(20 * MINUTE);
    leaseOf('a')?.report(failed.minute(10 * MINUTE));
    pool.operator.park('a', 15 * MINUTE);
    clock.advance(20 * MINUTE);
    expect(factsOf('a').history).toEqual([
      { from: at(0), to: at(10), state: 'cooling_down', cause: 'rate_limited' },
      { from: at(20), to: at(35), state: 'cooling_down', cause: 'operator' },
    ]);
  });

  it('say since when the cause holds, through all failed probes', () => {
    const { leaseOf, factsOf, clock } = createSetting();
    const since = clock.now();
    for (let i = 0; i < 3; i += 1) {
      leaseOf('a')?.report(failed.badKey);
      clock.advance(HOUR);
    }
    expect(factsOf('a').state).toMatchObject({ state: 'exhausted', since });
  });

  it('join many short parks into one rather than forget them', () => {
    const { leaseOf, factsOf, clock } = createSetting();
    const start = clock.now();
    for (let i = 0; i < 200; i += 1) {
      leaseOf('a')?.report(failed.minute(5000));
      clock.advance(10_000);
      leaseOf('a')?.report({ kind: 'success' });
    }
    const { history } = factsOf('a');
    expect(history).toHaveLength(60);
    expect(history[0]?.from).toBe(start);
  });

  it('name the first key to return by itself', () => {
    const { pool, leaseOf, clock } = createSetting(['a', 'b', 'c', 'd']);
    leaseOf('a')?.report(failed.badKey);
    leaseOf('b')?.report(failed.minute(10 * MINUTE));
    leaseOf('c')?.report(failed.minute(5 * MINUTE));
    expect(pool.inspection.summary('google', 'flash').nextToReturn).toMatchObject({
      id: 'c',
      until: clock.now() + 5 * MINUTE,
      untilBy: 'provider',
    });
    expect(pool.inspection.summary('google', 'flash').causes).toEqual({
      key_rejected: 1,
      rate_limited: 2,
    });
    expect(pool.inspection.summary('google', 'pro').nextToReturn).toBeNull();
  });

  it('are null for an unknown key or target', () => {
    const { inspection } = createSetting().pool;
    expect(inspection.facts('google', 'flash', 'nobody')).toBeNull();
    expect(inspection.facts('google', 'ultra', 'a')).toBeNull();
    expect(inspection.facts('anam', 'session', 'a')).toBeNull();
  });
});
