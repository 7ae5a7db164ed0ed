import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { KeyPool } from '../../src/pool/key-pool.ts';
import type { Lease, Outcome } from '../../src/pool/lease.ts';
import type { Reach } from '../../src/pool/scope.ts';
import { createPool, failed, google, HOUR } from '../support/pool.ts';

const MODELS = ['flash', 'pro'];
const NAMES = ['a@shop', 'b@shop', 'c', 'd', 'e'];

const anyOutcome: fc.Arbitrary<Outcome> = fc.oneof(
  fc.constant<Outcome>({ kind: 'success' }),
  fc.integer({ min: 1, max: 3 * HOUR }).map(failed.minute),
  fc.integer({ min: 1, max: 3 * HOUR }).map(failed.slots),
  fc.constantFrom<Outcome>(
    failed.unhinted,
    failed.day,
    failed.money,
    failed.badKey,
    failed.noModel,
    failed.limitZero,
    failed.badRequest,
    failed.badToken,
    failed.blocked,
    failed.unusable,
    failed.down,
    failed.ours,
    failed.gone,
  ),
);

type Step =
  | {
      readonly do: 'lease';
      readonly model: string;
      readonly lastResort: boolean;
      readonly reach: Reach;
    }
  | { readonly do: 'prove'; readonly which: number }
  | { readonly do: 'report'; readonly which: number; readonly outcome: Outcome }
  | { readonly do: 'release'; readonly id: string }
  | { readonly do: 'park'; readonly id: string; readonly ms: number }
  | { readonly do: 'wait'; readonly ms: number };

const IDS = NAMES.map((name) => name.split('@')[0] ?? name);
const anyId = fc.constantFrom(...IDS);

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('lease' as const),
      model: fc.constantFrom(...MODELS),
      lastResort: fc.boolean(),
      reach: fc.constantFrom('part', 'whole'),
    }),
  },
  fc.record({ do: fc.constant('prove' as const), which: fc.nat() }),
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('report' as const),
      which: fc.nat(),
      outcome: anyOutcome,
    }),
  },
  fc.record({ do: fc.constant('release' as const), id: anyId }),
  fc.record({ do: fc.constant('park' as const), id: anyId, ms: fc.integer({ min: 1, max: HOUR }) }),
  fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 2 * HOUR }) }),
);

const anyHint = fc.integer({ min: 1, max: HOUR });
const anyModel = fc.constantFrom(...MODELS);
const anyExcept = fc.subarray(IDS).map((ids) => new Set(ids));
const anyRandom = fc
  .infiniteStream(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }))
  .map((numbers) => () => numbers.next().value);
const anyHistory = fc.array(anyStep, { maxLength: 60 });

/** Plays a history on a new pool and calls `afterEach` with what every single step did. */
function play(
  steps: readonly Step[],
  afterEach: (state: Played) => void = () => {},
  random: (() => number) | null = null,
) {
  const setting = createPool(NAMES, MODELS, undefined, undefined, random);
  const open: Lease[] = [];
  const ended: Lease[] = [];
  for (const step of steps) {
    const before = statesOf(setting.pool);
    const leased = act(step, setting, open, ended);
    afterEach({ ...setting, open, ended, leased, before });
  }
  return { ...setting, open, ended };
}

interface Played extends ReturnType<typeof createPool> {
  readonly open: readonly Lease[];
  readonly ended: readonly Lease[];
  readonly leased: { readonly lease: Lease; readonly lastResort: boolean } | null;
  readonly before: ReturnType<typeof statesOf>;
}

const statesOf = (pool: KeyPool) =>
  new Map(MODELS.map((model) => [model, pool.inspection.skipped('google', model, 100)]));

function act(step: Step, setting: ReturnType<typeof createPool>, open: Lease[], ended: Lease[]) {
  const { clock, pool } = setting;
  if (step.do === 'wait') clock.advance(step.ms);
  if (step.do === 'release') pool.operator.release(step.id);
  if (step.do === 'park') pool.operator.park(step.id, step.ms);
  if (step.do === 'prove') open[step.which % open.length]?.prove();
  if (step.do === 'report') {
    const [lease] = open.splice(step.which % Math.max(open.length, 1), 1);
    lease?.report(step.outcome);
    if (lease !== undefined) ended.push(lease);
  }
  if (step.do !== 'lease') return null;
  const { model, lastResort, reach } = step;
  const lease = pool.lease(google(model), { among: lastResort ? 'last_resort' : 'turn', reach });
  if (lease === null) return null;
  open.push(lease);
  return { lease, lastResort };
}

describe('whatever happens to the keys', () => {
  it('the counts add up', () => {
    fc.assert(
      fc.property(anyHistory, (steps) => {
        play(steps, ({ pool }) => {
          const { total, available, cooling_down, exhausted } = pool.inspection.counts('google');
          expect(total).toBe(NAMES.length);
          expect(available + cooling_down + exhausted).toBe(total);
        });
      }),
    );
  });

  it('no parked key is leased, and an ejected one only as the last resort', () => {
    fc.assert(
      fc.property(anyHistory, (steps) => {
        play(steps, ({ leased, before, clock }) => {
          if (leased === null) return;
          const state = before
            .get(leased.lease.target.label)
            ?.find((s) => s.id === leased.lease.key.id);
          const isParked = (state?.until ?? 0) > clock.now();
          expect(isParked).toBe(leased.lastResort);
          if (isParked) expect(state?.cause).toBe('upstream_down');
        });
      }),
    );
  });

  it('a released key can be leased at once, whatever older leases report later', () => {
    fc.assert(
      fc.property(anyHistory, anyId, anyOutcome, (steps, id, outcome) => {
        const { pool, open } = play(steps);
        pool.operator.release(id);
        for (const lease of open) lease.report(outcome);
        for (const model of MODELS) {
          const lease = pool.lease(google(model), { only: (key) => key.id === id });
          expect(lease?.key.id).toBe(id);
          lease?.report({ kind: 'success' });
        }
      }),
    );
  });

  it('a key parked by the operator is not leased, whatever older leases report later', () => {
    fc.assert(
      fc.property(anyHistory, anyId, anyOutcome, (steps, id, outcome) => {
        const { pool, clock, open } = play(steps);
        pool.operator.park(id, HOUR);
        for (const lease of open) lease.report(outcome);
        clock.advance(HOUR - 1);
        const only = { only: ({ id: one }: { readonly id: string }) => one === id };
        for (const model of MODELS) {
          expect(pool.lease(google(model), only)).toBeNull();
          expect(pool.lease(google(model), { ...only, among: 'last_resort' })).toBeNull();
        }
      }),
    );
  });

  it('the history of the last hour is in order, and ends with the present state', () => {
    fc.assert(
      fc.property(anyHistory, anyModel, (steps, model) => {
        const { pool, clock } = play(steps);
        // Nothing begins or ends between two milliseconds.
        clock.advance(0.5);
        for (const id of IDS) {
          const facts = pool.inspection.facts('google', model, id);
          const stretches = facts?.history ?? [];
          const times = stretches.flatMap(({ from, to }) => [from, to]);
          expect(times).toEqual(times.toSorted((a, b) => a - b));
          expect(times[0] ?? clock.now()).toBeGreaterThanOrEqual(clock.now() - HOUR);
          const present = stretches.find(({ to }) => to === clock.now());
          expect(present?.state ?? 'available').toBe(facts?.state.state);
        }
      }),
    );
  });

  it('nothing is parked for longer than the cooldown', () => {
    fc.assert(
      fc.property(anyHistory, (steps) => {
        play(steps, ({ pool, clock }) => {
          for (const { until = 0 } of [...statesOf(pool).values()].flat()) {
            expect(until - clock.now()).toBeLessThanOrEqual(HOUR);
          }
        });
      }),
    );
  });

  it('every key can be leased again once all probes have ended and a cooldown has passed', () => {
    fc.assert(
      fc.property(anyHistory, (steps) => {
        const { pool, clock, open } = play(steps);
        for (const lease of open) lease.report(failed.gone);
        clock.advance(HOUR);
        expect(drainOnce(pool)).toHaveLength(NAMES.length);
      }),
    );
  });

  it('rotation is fair: any n leases in a row use each of the n usable keys once, wherever keys return', () => {
    fc.assert(
      fc.property(anyHistory, anyRandom, (steps, random) => {
        const { pool, open } = play(steps, undefined, random);
        for (const lease of open) lease.report(failed.gone);
        const usable = drainOnce(pool);
        const again = Array.from({ length: 2 * usable.length }, () => {
          const lease = pool.lease(google('flash'));
          lease?.report({ kind: 'success' });
          return lease?.key.id;
        });
        expect(new Set(again.slice(0, usable.length)).size).toBe(usable.length);
        expect(again.slice(usable.length)).toEqual(again.slice(0, usable.length));
      }),
    );
  });

  it('a half-open scope has one probe at a time, for all its keys and models', () => {
    fc.assert(
      fc.property(anyHistory, (steps) => {
        const { pool, clock, open } = play(steps);
        for (const lease of open) lease.report(failed.gone);
        clock.advance(HOUR);
        const bad = pool.lease(google('flash'));
        const { id = '', project = '' } = bad?.key ?? {};
        bad?.report(failed.money);
        clock.advance(HOUR);
        const granted = MODELS.flatMap((model) =>
          Array.from({ length: 20 }, () => pool.lease(google(model))),
        );
        const ofProject = granted.filter((lease) => lease?.key.project === project);
        expect(id).not.toBe('');
        expect(ofProject).toHaveLength(1);
      }),
    );
  });

  it('once all is spent, a key returns when it was said, and only the end of an ejection comes before', () => {
    fc.assert(
      fc.property(anyHistory, anyHint, anyExcept, anyModel, (steps, hint, except, model) => {
        const { pool, clock, open } = play(steps);
        for (const lease of open) lease.report(failed.gone);
        spendAll(pool, model, hint);
        const at = pool.returnsAt(google(model), { except });
        fc.pre(at !== null);
        expect(at).toBeGreaterThan(clock.now());
        const due = pool.nextDueAt(google(model)) ?? 0;
        expect(due).toBeLessThanOrEqual(at);
        clock.set(due - 1);
        expect(pool.hasLease(google(model), { except })).toBe(false);
        clock.set(at);
        const isBack = pool.hasLease(google(model), { except });
        expect(isBack || pool.hasLease(google(model), { except, among: 'last_resort' })).toBe(true);
      }),
    );
  });

  it('a lease is granted exactly when hasLease says so', () => {
    fc.assert(
      fc.property(anyHistory, fc.constantFrom('turn', 'last_resort', 'fast'), (steps, among) => {
        const { pool } = play(steps);
        for (let turn = 0; turn < 10; turn += 1) {
          const hasLease = pool.hasLease(google('flash'), { among });
          expect(pool.lease(google('flash'), { among }) !== null).toBe(hasLease);
        }
      }),
    );
  });

  it('a report after the first changes nothing', () => {
    fc.assert(
      fc.property(anyHistory, anyOutcome, (steps, outcome) => {
        const { pool, ended } = play(steps);
        const before = statesOf(pool);
        for (const lease of ended) {
          lease.report(outcome);
          lease.prove();
        }
        expect(statesOf(pool)).toEqual(before);
      }),
    );
  });

  it('of simultaneous findings about one quota the longest holds, in any order', () => {
    const anyHints = fc.array(anyHint, { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(anyHints, (hints) => {
        const { pool, clock, lease } = createPool(['a']);
        const leases = hints.map(() => lease());
        for (const [index, hint] of hints.entries()) leases[index]?.report(failed.minute(hint));
        expect(pool.returnsAt(google('flash'))).toBe(clock.now() + Math.max(...hints));
      }),
    );
  });
});

function spendAll(pool: KeyPool, model: string, hint: number): void {
  for (let lease = pool.lease(google(model)); lease; lease = pool.lease(google(model))) {
    lease.report(failed.minute(hint));
  }
}

/** Leases once around and reports successes, so that every half-open scope of this model is open. */
function drainOnce(pool: KeyPool): string[] {
  const seen = new Set<string>();
  for (let turn = 0; turn < 2 * NAMES.length; turn += 1) {
    const lease = pool.lease(google('flash'));
    lease?.report({ kind: 'success' });
    if (lease) seen.add(lease.key.id);
  }
  return [...seen];
}
