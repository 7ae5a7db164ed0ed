import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { KeyState } from '../../src/pool/inspection.ts';
import { KeyPool } from '../../src/pool/key-pool.ts';
import type { Lease } from '../../src/pool/lease.ts';
import type { ApiKey } from '../../src/shared/api-key.ts';
import { Secret } from '../../src/shared/secret.ts';
import type { RecordStore } from '../../src/sharing/redis-store.ts';
import { Sharing } from '../../src/sharing/sharing.ts';
import { createFakeClock, type FakeClock } from '../support/fake-clock.ts';
import { FakeRecordStore } from '../support/fake-record-store.ts';
import { failed, google, HOUR } from '../support/pool.ts';

const IDS = ['a', 'b', 'c'];
const INSTANCES = 3;

type Step =
  | { readonly do: 'lease' | 'spend'; readonly by: number }
  | { readonly do: 'report'; readonly which: number; readonly outcome: keyof typeof OUTCOMES }
  | { readonly do: 'release' | 'park'; readonly by: number; readonly id: string }
  | { readonly do: 'seconds' | 'hour' | 'settle' };

const OUTCOMES = {
  success: { kind: 'success' } as const,
  day: failed.day,
  minute: failed.minute(60_000),
  gone: failed.gone,
  down: failed.down,
};

const by = fc.nat({ max: INSTANCES - 1 });
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constantFrom('lease' as const, 'spend' as const), by }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('report' as const),
      which: fc.nat(),
      outcome: fc.constantFrom(...(Object.keys(OUTCOMES) as (keyof typeof OUTCOMES)[])),
    }),
  },
  fc.record({
    do: fc.constantFrom('release' as const, 'park' as const),
    by,
    id: fc.constantFrom(...IDS),
  }),
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'seconds' as const,
        'hour' as const,
        'settle' as const,
        'settle' as const,
      ),
    }),
  },
);
const anyHistory = fc.array(anyStep, { minLength: 30, maxLength: 60 });

/** Instances that share; commands and messages arrive with the next `settle`. */
function createInstances() {
  const clock = createFakeClock(Date.UTC(2026, 10, 24, 18));
  const late: (() => void)[] = [];
  const shared = new FakeRecordStore({
    now: clock.now,
    send: (act) => new Promise((resolve) => late.push(() => resolve(act()))),
    deliver: (act) => late.push(act),
  });
  const pools = Array.from(
    { length: INSTANCES },
    (_, index) => join(shared.storeOf(index), clock).pool,
  );
  const settle = async () => {
    for (let round = 0; round < 10; round += 1) {
      for (const arrive of late.splice(0)) arrive();
      await nextTurn();
    }
  };
  return { clock, pools, settle };
}

const KEYS = IDS.map(
  (id): ApiKey => ({ id, provider: 'google', project: id, secret: new Secret(id, `text-${id}`) }),
);

function join(store: RecordStore, clock: FakeClock, keys = KEYS) {
  const sharing = new Sharing({ store, keys, cooldownMs: HOUR, clock });
  const { peers } = sharing;
  const targets = [google('flash')];
  const pool = new KeyPool({ keys, targets, cooldownMs: HOUR, now: clock.now, peers });
  void sharing.join(pool, { opened: () => {}, changed: () => {} });
  return { pool, sharing };
}

async function play(steps: readonly Step[], afterEach: (pools: readonly KeyPool[]) => void) {
  const instances = createInstances();
  const open: Lease[] = [];
  for (const step of steps) {
    await act(step, instances, open);
    afterEach(instances.pools);
  }
  return instances;
}

async function act(
  step: Step,
  { clock, pools, settle }: ReturnType<typeof createInstances>,
  open: Lease[],
): Promise<void> {
  switch (step.do) {
    case 'lease': {
      const lease = pools[step.by]?.lease(google('flash'));
      if (lease) open.push(lease);
      return;
    }
    case 'report':
      open.splice(step.which % Math.max(open.length, 1), 1)[0]?.report(OUTCOMES[step.outcome]);
      return;
    case 'release':
      pools[step.by]?.operator.release(step.id);
      return;
    case 'park':
      pools[step.by]?.operator.park(step.id, HOUR);
      return;
    case 'spend':
      pools[step.by]?.lease(google('flash'))?.report(OUTCOMES.day);
      return;
    case 'seconds':
      for (let second = 0; second < 3; second += 1) {
        clock.advance(1000);
        await settle();
      }
      return;
    case 'hour':
      // No call takes that long.
      for (const lease of open.splice(0)) lease.report(OUTCOMES.gone);
      await settle();
      clock.advance(HOUR);
      return;
    case 'settle':
      await settle();
      return;
    default:
      step satisfies never;
  }
}

/** An ejection is the suspicion of one instance alone. */
const sharedState = ({ state, cause, until }: KeyState) =>
  cause === 'upstream_down' ? ['available', undefined] : [state, until];

const statesOf = (pools: readonly KeyPool[]) =>
  pools.map((pool) => pool.inspection.states('google', 'flash').map(sharedState));

/** How many instances probe each scope. */
function probes(pools: readonly KeyPool[]): Map<string, number> {
  const counts = new Map<string, number>();
  const probed = pools.flatMap((pool) =>
    [...pool.sharedScopes.all()].filter(({ health }) => health.state === 'probing'),
  );
  for (const { subject } of probed) {
    const name = JSON.stringify(subject);
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}

const LIMIT = { timeout: 60_000 };

it('one instance at a time probes a key whose cooldown has passed', LIMIT, async () => {
  await fc.assert(
    fc.asyncProperty(anyHistory, async (steps) => {
      await play(steps, (pools) => {
        for (const [name, count] of probes(pools)) expect([name, count]).toEqual([name, 1]);
      });
    }),
    { numRuns: 200 },
  );
});

it('once every message has arrived, all instances know the same', LIMIT, async () => {
  await fc.assert(
    fc.asyncProperty(anyHistory, async (steps) => {
      const { pools, settle } = await play(steps, () => {});
      await settle();
      const states = statesOf(pools);
      for (const one of states) expect(one).toEqual(states[0]);
    }),
    { numRuns: 200 },
  );
});

/** Steps that only let promises go on: nothing is open. */
const moments = (count: number): readonly Step[] =>
  Array<Step>(count).fill({ do: 'report', which: 0, outcome: 'success' });

it('a key that is spent the moment a publication ends is spent for all instances', async () => {
  // The publication of the start ends after a few of these moments.
  for (let moment = 0; moment < 20; moment += 1) {
    const { clock, pools, settle } = await play(
      [...moments(moment), { do: 'spend', by: 0 }],
      () => {},
    );
    await settle();
    const spent = ['cooling_down', clock.now() + HOUR];
    const rest = ['available', undefined];
    expect([moment, statesOf(pools)]).toEqual([moment, pools.map(() => [spent, rest, rest])]);
  }
});

it('all know the same of a key that was spent, released and limited while one of them was publishing', async () => {
  const { pools, settle } = await play(
    [
      { do: 'settle' },
      // The next finding of this instance waits for this publication, and crosses the messages of the others.
      { do: 'release', by: 1, id: 'b' },
      ...moments(5),
      { do: 'spend', by: 0 },
      ...moments(5),
      { do: 'lease', by: 2 },
      { do: 'release', by: 2, id: 'a' },
      { do: 'lease', by: 1 },
      { do: 'report', which: 1, outcome: 'minute' },
    ],
    () => {},
  );
  await settle();
  const [one, ...others] = statesOf(pools);
  expect(one?.[0]?.[0]).toBe('cooling_down');
  for (const other of others) expect(other).toEqual(one);
});

it('an instance that adds a key the moment its start ends learns what the others know of it', async () => {
  for (let count = 0; count < 30; count += 1) {
    const clock = createFakeClock();
    const shared = new FakeRecordStore({ now: clock.now });
    join(shared.storeOf(0), clock).pool.lease(google('flash'))?.report(OUTCOMES.day);
    await nextTurn();
    const { pool, sharing } = join(shared.storeOf(1), clock, KEYS.slice(1));
    for (let moment = 0; moment < count; moment += 1) await null;
    const added = KEYS.slice(0, 1);
    for (const key of added) pool.put(key);
    sharing.keysChanged(KEYS, added);
    await nextTurn();
    const { available } = pool.inspection.counts('google');
    expect([count, available]).toEqual([count, 2]);
  }
});
