import { describe, expect, it } from 'vitest';
import { CandidateSearch } from '../../src/failover/candidate-search.ts';
import { createWaitQueue, type WaitLimits, type WaitQueue } from '../../src/failover/wait-queue.ts';
import type { Lease } from '../../src/pool/lease.ts';
import type { Clock } from '../../src/shared/clock.ts';
import { createFakeClock, type FakeClock } from '../support/fake-clock.ts';
import { createPool, failed, google } from '../support/pool.ts';

const SECOND = 1000;
const OUTCOME_SECONDS = 20;
const SUCCESS = { kind: 'success' } as const;
const STILL_WAITING = 'still waiting';

/** A queue for a pool whose keys are all spent, each for so many seconds. */
function createQueue(
  secondsByKey: Record<string, number>,
  maxWaiting = 100,
  clock = createFakeClock(),
) {
  const names = Object.keys(secondsByKey);
  const setting = createPool(names, ['flash'], clock);
  for (const _ of names) {
    const spent = setting.lease();
    spent.report(failed.minute((secondsByKey[spent.key.id] ?? 0) * SECOND));
  }
  return queueFor(setting, maxWaiting);
}

function queueFor({ pool, clock }: ReturnType<typeof createPool>, maxWaiting = 100) {
  const queue = createWaitQueue(clock, maxWaiting);
  const newSearch = () => new CandidateSearch(pool, { targets: [google('flash')] });
  const searchThatFailed = (id: string) => {
    const search = newSearch();
    search.failed({ key: { id, project: id }, target: google('flash') }, failed.down, null);
    return search;
  };
  const wait = (forSeconds = 5, search = newSearch()) =>
    waiterOf(queue, search, limitsFor(clock, forSeconds));
  const end = (ended: Lease, outcome: Parameters<Lease['report']>[0]) => {
    ended.report(outcome);
    if (outcome.kind === 'success') queue.keyProved(null);
    else queue.leaseFailed(null);
  };
  return { pool, clock, queue, wait, end, searchThatFailed };
}

const limitsFor = (clock: Clock, forSeconds: number) => {
  const until = clock.now() + forSeconds * SECOND;
  return { until, outcomeUntil: until + (forSeconds > 0 ? OUTCOME_SECONDS * SECOND : 0) };
};

/** A millisecond passes with each reading, as on a busy machine. */
function createTickingClock(): FakeClock {
  const clock = createFakeClock();
  let ticks = 0;
  return {
    ...clock,
    now() {
      ticks += 1;
      return clock.now() + ticks;
    },
  };
}

/** A request in the queue, and what it has by now. */
function waiterOf(queue: WaitQueue, search: CandidateSearch, limits: WaitLimits) {
  let outcome: Lease | null | typeof STILL_WAITING = STILL_WAITING;
  const remove = queue.wait(search, limits, (lease) => {
    expect(outcome).toBe(STILL_WAITING);
    outcome = lease;
  });
  const look = async () => {
    await Promise.resolve();
    return outcome;
  };
  return Object.assign(look, { remove });
}

/** The key that each has by now, or `none`, or that it still waits. */
async function look(waiters: (() => Promise<Lease | null | string>)[]) {
  const outcomes = await Promise.all(waiters.map((outcome) => outcome()));
  return outcomes.map((outcome) =>
    outcome === null ? 'none' : typeof outcome === 'string' ? outcome : outcome.key.id,
  );
}

async function leaseOf(waiter: (() => Promise<Lease | null | string>) | undefined): Promise<Lease> {
  const outcome = await waiter?.();
  if (outcome instanceof Object) return outcome;
  throw new Error('no key was leased');
}

describe('a special request', () => {
  const special = { features: ['search'], tokens: 1, mostTokens: 4 };

  it('lets a plain one behind it probe first, and follows where nobody else waits', async () => {
    const { pool, clock, queue, wait, end } = createQueue({ 'google-1': 3 });
    const search = new CandidateSearch(pool, { targets: [google('flash')], shape: () => special });
    const waiters = [waiterOf(queue, search, limitsFor(clock, 5)), wait()];
    clock.advance(3 * SECOND);
    expect(await look(waiters)).toEqual([STILL_WAITING, 'google-1']);
    end(await leaseOf(waiters[1]), SUCCESS);
    expect(await look(waiters)).toEqual(['google-1', 'google-1']);
  });
});

describe('one waiting request', () => {
  it('still waits one millisecond before its key returns, and has it at that moment', async () => {
    const { clock, wait, queue } = createQueue({ 'google-1': 3 });
    const waiter = wait();
    clock.advance(3 * SECOND - 1);
    expect(await look([waiter])).toEqual([STILL_WAITING]);
    expect(queue.waiters.size).toBe(1);
    clock.advance(1);
    expect(await look([waiter])).toEqual(['google-1']);
    expect([queue.waiters.size, clock.pendingTimers()]).toEqual([0, 0]);
  });

  it('has the key that returns first', async () => {
    const { clock, wait } = createQueue({ 'google-1': 4, 'google-2': 2 });
    const waiter = wait();
    clock.advance(2 * SECOND);
    expect(await look([waiter])).toEqual(['google-2']);
  });

  it('is refused at once when no key returns in time, be it by a millisecond', async () => {
    const { clock, wait } = createQueue({ 'google-1': 5.001, 'google-2': 600 });
    expect(await look([wait(5)])).toEqual(['none']);
    expect(clock.pendingTimers()).toBe(0);
  });

  it('waits for a key that returns at the very last moment', async () => {
    const { clock, wait } = createQueue({ 'google-1': 5 });
    const waiter = wait(5);
    clock.advance(5 * SECOND);
    expect(await look([waiter])).toEqual(['google-1']);
  });

  it('has a key at once that has returned already', async () => {
    const { clock, wait } = createQueue({ 'google-1': 3 });
    clock.advance(3 * SECOND);
    expect(await look([wait()])).toEqual(['google-1']);
    expect(clock.pendingTimers()).toBe(0);
  });

  it('that is removed takes no key with it', async () => {
    const { clock, wait, queue } = createQueue({ 'google-1': 3 });
    const waiter = wait();
    waiter.remove();
    expect([queue.waiters.size, clock.pendingTimers()]).toEqual([0, 0]);
    const next = wait();
    clock.advance(3 * SECOND);
    expect(await look([waiter, next])).toEqual([STILL_WAITING, 'google-1']);
    expect(clock.pendingTimers()).toBe(0);
  });
});

describe('while a probe is under way', () => {
  it('a newcomer waits for its outcome, and takes over when it succeeds', async () => {
    const { clock, wait, end } = createQueue({ 'google-1': 3 });
    clock.advance(3 * SECOND);
    const probe = wait();
    const newcomer = wait();
    expect(await look([probe, newcomer])).toEqual(['google-1', STILL_WAITING]);
    end(await leaseOf(probe), SUCCESS);
    expect(await look([newcomer])).toEqual(['google-1']);
  });

  it('a newcomer is refused as soon as the key is spent again for longer than it would wait', async () => {
    const { clock, wait, end, queue } = createQueue({ 'google-1': 3 });
    clock.advance(3 * SECOND);
    const probe = wait();
    const newcomers = [wait(), wait()];
    end(await leaseOf(probe), failed.minute(30 * SECOND));
    expect(await look(newcomers)).toEqual(['none', 'none']);
    expect([queue.waiters.size, clock.pendingTimers()]).toEqual([0, 0]);
  });

  it('a newcomer waits on when the key is spent again for less', async () => {
    const { clock, wait, end } = createQueue({ 'google-1': 3 });
    clock.advance(3 * SECOND);
    const probe = wait();
    const newcomer = wait();
    end(await leaseOf(probe), failed.minute(2 * SECOND));
    clock.advance(2 * SECOND - 1);
    expect(await look([newcomer])).toEqual([STILL_WAITING]);
    clock.advance(1);
    expect(await look([newcomer])).toEqual(['google-1']);
  });

  it('a newcomer has the next probe when this one proved nothing', async () => {
    const { clock, wait, end } = createQueue({ 'google-1': 3 });
    clock.advance(3 * SECOND);
    const probe = wait();
    const newcomers = [wait(), wait()];
    end(await leaseOf(probe), failed.gone);
    expect(await look(newcomers)).toEqual(['google-1', STILL_WAITING]);
  });

  it('newcomers at their limit wait for the outcome, and have the key in turn when it works', async () => {
    const { clock, wait, end } = createQueue({ 'google-1': 3 });
    clock.advance(3 * SECOND);
    const probe = wait();
    const newcomers = [wait(5), wait(5), wait(5), wait(5)];
    clock.advance(7 * SECOND);
    expect(await look(newcomers)).toEqual(Array(4).fill(STILL_WAITING));
    end(await leaseOf(probe), SUCCESS);
    expect(await look(newcomers)).toEqual([
      ...Array(2).fill('google-1'),
      ...Array(2).fill(STILL_WAITING),
    ]);
    end(await leaseOf(newcomers[0]), SUCCESS);
    expect(await look(newcomers)).toEqual(Array(4).fill('google-1'));
    expect(clock.pendingTimers()).toBe(0);
  });

  it('newcomers at their limit for the outcome have a good key before their turn', async () => {
    const { clock, wait, queue } = createQueue({ 'google-1': 3 });
    clock.advance(3 * SECOND);
    const probe = wait();
    const newcomers = Array.from({ length: 5 }, () => wait(5));
    clock.advance(7 * SECOND);
    (await leaseOf(probe)).prove();
    queue.keyProved(null);
    clock.advance((OUTCOME_SECONDS - 2) * SECOND - 1);
    expect(await look(newcomers)).toEqual([
      ...Array(2).fill('google-1'),
      ...Array(3).fill(STILL_WAITING),
    ]);
    clock.advance(1);
    expect(await look(newcomers)).toEqual(Array(5).fill('google-1'));
  });

  it('a request does not pass earlier ones although its own limit comes first', async () => {
    const { clock, wait, queue } = createQueue({ 'google-1': 3 });
    clock.advance(3 * SECOND);
    const probe = wait();
    const waiters = [...Array.from({ length: 4 }, () => wait(10)), wait(5)];
    (await leaseOf(probe)).prove();
    queue.keyProved(null);
    clock.advance(5 * SECOND);
    expect(await look(waiters)).toEqual([
      ...Array(3).fill('google-1'),
      STILL_WAITING,
      STILL_WAITING,
    ]);
  });

  it('a newcomer at its limit is refused as soon as the key is found spent again', async () => {
    const { clock, wait, end, queue } = createQueue({ 'google-1': 3 });
    clock.advance(3 * SECOND);
    const probe = wait();
    const newcomers = [wait(5), wait(5)];
    clock.advance(6 * SECOND);
    end(await leaseOf(probe), failed.minute(2 * SECOND));
    expect(await look(newcomers)).toEqual(['none', 'none']);
    expect([queue.waiters.size, clock.pendingTimers()]).toEqual([0, 0]);
  });

  it('a newcomer at its limit has the next probe when this one proved nothing', async () => {
    const { clock, wait, end } = createQueue({ 'google-1': 3 });
    clock.advance(3 * SECOND);
    const probe = wait();
    const newcomers = [wait(5), wait(5)];
    clock.advance(6 * SECOND);
    end(await leaseOf(probe), failed.gone);
    expect(await look(newcomers)).toEqual(['google-1', STILL_WAITING]);
  });

  it('a newcomer at its limit has another key that returns meanwhile', async () => {
    const { clock, wait } = createQueue({ 'google-1': 3, 'google-2': 10 });
    clock.advance(3 * SECOND);
    wait();
    const newcomer = wait(5);
    clock.advance(7 * SECOND - 1);
    expect(await look([newcomer])).toEqual([STILL_WAITING]);
    clock.advance(1);
    expect(await look([newcomer])).toEqual(['google-2']);
  });

  it('a newcomer waits no longer for the outcome than it may, however long the probe takes', async () => {
    const { clock, wait } = createQueue({ 'google-1': 3 });
    clock.advance(3 * SECOND);
    wait();
    const newcomer = wait(5);
    clock.advance((5 + OUTCOME_SECONDS) * SECOND - 1);
    expect(await look([newcomer])).toEqual([STILL_WAITING]);
    clock.advance(1);
    expect(await look([newcomer])).toEqual(['none']);
    expect(clock.pendingTimers()).toBe(0);
  });

  it('a newcomer is not refused because the clock ticks during its review', async () => {
    const clock = createTickingClock();
    const { wait, end } = createQueue({ 'google-1': 3 }, 100, clock);
    clock.advance(3 * SECOND);
    const probe = wait();
    const newcomer = wait(5);
    clock.advance(6 * SECOND);
    expect(await look([newcomer])).toEqual([STILL_WAITING]);
    end(await leaseOf(probe), SUCCESS);
    expect(await look([newcomer])).toEqual(['google-1']);
  });

  it('a newcomer at its limit has an ejected key', async () => {
    const setting = createPool(['google-1', 'google-2']);
    for (const outcome of [SUCCESS, failed.down, SUCCESS, failed.down, failed.minute(3 * SECOND)]) {
      setting.lease().report(outcome);
    }
    const { clock, wait } = queueFor(setting);
    clock.advance(3 * SECOND);
    const probe = wait();
    const newcomer = wait(5);
    clock.advance(5 * SECOND - 1);
    expect(await look([probe, newcomer])).toEqual(['google-1', STILL_WAITING]);
    clock.advance(1);
    expect(await look([newcomer])).toEqual(['google-2']);
  });

  it('a request that may not wait is refused at once', async () => {
    const { clock, wait } = createQueue({ 'google-1': 3 });
    clock.advance(3 * SECOND);
    wait();
    expect(await look([wait(0)])).toEqual(['none']);
  });

  it('a newcomer that has tried the probed key does not wait for it', async () => {
    const { clock, wait, searchThatFailed } = createQueue({ 'google-1': 3 });
    clock.advance(3 * SECOND);
    wait();
    expect(await look([wait(5, searchThatFailed('google-1'))])).toEqual(['none']);
  });
});

describe('several waiting requests', () => {
  it('are served in their order, one for each key that returns', async () => {
    const { clock, wait } = createQueue({ 'google-1': 2, 'google-2': 3 });
    const waiters = [wait(), wait(), wait()];
    clock.advance(2 * SECOND);
    expect(await look(waiters)).toEqual(['google-1', STILL_WAITING, STILL_WAITING]);
    clock.advance(1 * SECOND);
    expect(await look(waiters)).toEqual(['google-1', 'google-2', STILL_WAITING]);
  });

  it('follow a key that works faster and faster: each success admits two', async () => {
    const { clock, wait, end } = createQueue({ 'google-1': 2 });
    const waiters = Array.from({ length: 7 }, () => wait());
    const served = async () => (await look(waiters)).filter((got) => got === 'google-1').length;
    clock.advance(2 * SECOND);
    expect(await served()).toBe(1);
    end(await leaseOf(waiters[0]), SUCCESS);
    expect(await served()).toBe(3);
    end(await leaseOf(waiters[1]), SUCCESS);
    expect(await served()).toBe(5);
    end(await leaseOf(waiters[2]), SUCCESS);
    expect(await served()).toBe(7);
  });

  it('stop at the first refusal', async () => {
    const { clock, wait, end } = createQueue({ 'google-1': 2 });
    const waiters = Array.from({ length: 6 }, () => wait());
    clock.advance(2 * SECOND);
    end(await leaseOf(waiters[0]), SUCCESS);
    end(await leaseOf(waiters[1]), failed.day);
    expect(await look(waiters)).toEqual([...Array(3).fill('google-1'), ...Array(3).fill('none')]);
  });

  it('each wait for their own time', async () => {
    const { clock, wait } = createQueue({ 'google-1': 2 });
    const waiters = [wait(2), wait(3), wait(4)];
    clock.advance(2 * SECOND);
    expect(await look(waiters)).toEqual(['google-1', STILL_WAITING, STILL_WAITING]);
    clock.advance((1 + OUTCOME_SECONDS) * SECOND);
    expect(await look(waiters)).toEqual(['google-1', 'none', STILL_WAITING]);
    clock.advance(SECOND);
    expect(await look(waiters)).toEqual(['google-1', 'none', 'none']);
    expect(clock.pendingTimers()).toBe(0);
  });

  it('a newcomer does not pass them, although a key has returned', async () => {
    const { clock, wait, end } = createQueue({ 'google-1': 2, 'google-2': 2 });
    clock.advance(2 * SECOND);
    const probes = [wait(), wait()];
    const waiting = wait();
    end(await leaseOf(probes[0]), failed.gone);
    expect(await look([waiting, wait()])).toEqual(['google-1', STILL_WAITING]);
  });

  it('are no more than the queue has room for', async () => {
    const { clock, wait } = createQueue({ 'google-1': 2 }, 2);
    const waiters = [wait(), wait(), wait()];
    expect(await look(waiters)).toEqual([STILL_WAITING, STILL_WAITING, 'none']);
    clock.advance(2 * SECOND);
    const later = wait();
    expect(await look([...waiters, later])).toEqual([
      'google-1',
      STILL_WAITING,
      'none',
      STILL_WAITING,
    ]);
  });

  it('share one timer', () => {
    const { clock, wait } = createQueue({ 'google-1': 2, 'google-2': 3 });
    for (let turn = 0; turn < 50; turn += 1) wait();
    expect(clock.pendingTimers()).toBe(1);
  });
});

describe('an empty queue', () => {
  it('does nothing when a key answers or fails', () => {
    const { clock, queue } = createQueue({ 'google-1': 2 });
    queue.keyProved(null);
    queue.leaseFailed(null);
    expect([queue.waiters.size, clock.pendingTimers()]).toEqual([0, 0]);
  });
});

describe('a queue for different models', () => {
  const createTwoModels = (maxWaiting = 100) => {
    const { pool, clock, lease } = createPool(['google-1'], ['flash', 'pro']);
    lease('flash').report(failed.minute(4 * SECOND));
    const queue = createWaitQueue(clock, maxWaiting);
    const wait = (model: string) =>
      waiterOf(queue, new CandidateSearch(pool, { targets: [google(model)] }), limitsFor(clock, 5));
    return { pool, clock, queue, wait };
  };

  it('serves a newcomer at once when the others wait for another model', async () => {
    const { wait } = createTwoModels();
    expect(await look([wait('flash'), wait('pro')])).toEqual([STILL_WAITING, 'google-1']);
  });

  it('serves such a newcomer although it is full', async () => {
    const { wait } = createTwoModels(2);
    const waiters = [wait('flash'), wait('flash'), wait('flash'), wait('pro')];
    expect(await look(waiters)).toEqual([STILL_WAITING, STILL_WAITING, 'none', 'google-1']);
  });
});

describe('the admission', () => {
  /** A queue for one model after its first proof, three requests admitted; the other model is idle. */
  async function createPaced(waiting: number) {
    const { pool, clock, lease } = createPool(['google-1'], ['flash', 'pro']);
    lease('flash').report(failed.minute(2 * SECOND));
    const queue = createWaitQueue(clock, 100);
    const wait = (seconds = 5) =>
      waiterOf(
        queue,
        new CandidateSearch(pool, { targets: [google('flash')] }),
        limitsFor(clock, seconds),
      );
    const waiters = [wait(), wait(), wait()];
    const shortWait = wait(2.5);
    waiters.push(...Array.from({ length: waiting }, () => wait()));
    clock.advance(2 * SECOND);
    (await leaseOf(waiters[0])).prove();
    queue.keyProved(null);
    const admitted = async () => (await look(waiters)).filter((got) => got === 'google-1').length;
    expect(await admitted()).toBe(3);
    return { clock, queue, admitted, shortWait };
  }

  it('to one model is not faster for the answers and failures of another', async () => {
    const { queue, admitted } = await createPaced(10);
    for (let turn = 0; turn < 5; turn += 1) queue.keyProved(google('pro'));
    for (let turn = 0; turn < 5; turn += 1) queue.leaseFailed(google('pro'));
    expect(await admitted()).toBe(3);
    queue.leaseFailed(google('flash'));
    expect(await admitted()).toBe(3);
    queue.keyProved(google('flash'));
    expect(await admitted()).toBe(5);
  });

  it('is not faster for the limit of a request that has left', async () => {
    const { clock, admitted, shortWait } = await createPaced(5);
    shortWait.remove();
    clock.advance(SECOND);
    expect([await admitted(), ...(await look([shortWait]))]).toEqual([3, STILL_WAITING]);
  });

  it('is of two requests where many reach their limit at once', async () => {
    const { clock, admitted } = await createPaced(10);
    clock.advance(3 * SECOND);
    const after = await admitted();
    expect(after).toBeGreaterThan(3);
    expect(after).toBeLessThanOrEqual(3 + 2 + 1);
  });

  it('to one model does not hold back a newcomer that can use what the others cannot', async () => {
    const { pool, clock, lease } = createPool(['google-1'], ['flash', 'pro']);
    lease('flash').report(failed.minute(2 * SECOND));
    const queue = createWaitQueue(clock, 100);
    const wait = (search: CandidateSearch) => waiterOf(queue, search, limitsFor(clock, 5));
    const burnt = new CandidateSearch(pool, { targets: [google('pro'), google('flash')] });
    burnt.failed(
      { key: { id: 'google-1', project: 'google-1' }, target: google('pro') },
      failed.down,
      null,
    );
    const waiting = wait(burnt);
    const newcomer = wait(new CandidateSearch(pool, { targets: [google('pro')] }));
    expect(await look([waiting, newcomer])).toEqual([STILL_WAITING, 'google-1']);
  });
});

describe('an ejected key', () => {
  it('serves a request as soon as its ejection is over, although a parked key returns later', async () => {
    const setting = createPool(['google-1', 'google-2']);
    const report = (outcome: Parameters<Lease['report']>[0]) => setting.lease().report(outcome);
    for (const outcome of [SUCCESS, failed.down, SUCCESS, failed.down]) report(outcome);
    setting.clock.advance(29 * SECOND);
    report(failed.minute(5 * SECOND));
    const { clock, wait } = queueFor(setting);
    const waiter = wait(5);
    clock.advance(SECOND - 1);
    expect(await look([waiter])).toEqual([STILL_WAITING]);
    clock.advance(1);
    expect(await look([waiter])).toEqual(['google-2']);
  });
});
