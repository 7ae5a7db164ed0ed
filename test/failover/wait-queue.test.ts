import { describe, expect, it } from 'vitest';
import { CandidateSearch } from '../../src/failover/candidate-search.ts';
import { createWaitQueue } from '../../src/failover/wait-queue.ts';
import type { Lease } from '../../src/pool/lease.ts';
import type { Clock } from '../../src/shared/clock.ts';
import type { Target } from '../../src/shared/target.ts';
import { createFakeClock, type FakeClock } from '../support/fake-clock.ts';
import { createPool, failed, google } from '../support/pool.ts';

const SECOND = 1000;
const HEARS_FOR_SECONDS = 20;
const SUCCESS = { kind: 'success' } as const;
const STILL_WAITING = 'still waiting';

/** A line before a pool whose keys are all spent, each for so many seconds. */
function createLine(
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
  return lineBefore(setting, maxWaiting);
}

function lineBefore({ pool, clock }: ReturnType<typeof createPool>, maxWaiting = 100) {
  const line = createWaitQueue(clock, maxWaiting);
  const newSearch = () => new CandidateSearch(pool, { targets: [google('flash')] });
  const searchThatFailed = (id: string) => {
    const search = newSearch();
    search.failed({ key: { id, project: id }, target: google('flash') }, failed.down, null);
    return search;
  };
  const stand = (forSeconds = 5, signal = new AbortController().signal, search = newSearch()) =>
    outcomeOf(line.wait(search, patience(clock, forSeconds), signal));
  const end = (ended: Lease, outcome: Parameters<Lease['report']>[0]) => {
    ended.report(outcome);
    if (outcome.kind === 'success') line.keyProved(null);
    else line.leaseFailed(null);
  };
  return { pool, clock, line, stand, end, searchThatFailed };
}

const patience = (clock: Clock, forSeconds: number) => {
  const until = clock.now() + forSeconds * SECOND;
  return { until, outcomeUntil: until + (forSeconds > 0 ? HEARS_FOR_SECONDS * SECOND : 0) };
};

/** A millisecond passes with each look at it, as it may on a busy machine. */
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

/** Looks at a promise without waiting for it. */
function outcomeOf(promise: Promise<Lease | null>) {
  let outcome: Lease | null | typeof STILL_WAITING = STILL_WAITING;
  promise.then((lease) => {
    outcome = lease;
  });
  return async () => {
    for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
    return outcome;
  };
}

/** Who has a key by now, who went away with none, and who still stands there. */
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

describe('one request in line', () => {
  it('still waits one millisecond before its key is back, and has it at the moment itself', async () => {
    const { clock, stand, line } = createLine({ 'google-1': 3 });
    const waiter = stand();
    clock.advance(3 * SECOND - 1);
    expect(await look([waiter])).toEqual([STILL_WAITING]);
    expect(line.isEmpty()).toBe(false);
    clock.advance(1);
    expect(await look([waiter])).toEqual(['google-1']);
    expect([line.isEmpty(), clock.pendingTimers()]).toEqual([true, 0]);
  });

  it('has the key that is back first', async () => {
    const { clock, stand } = createLine({ 'google-1': 4, 'google-2': 2 });
    const waiter = stand();
    clock.advance(2 * SECOND);
    expect(await look([waiter])).toEqual(['google-2']);
  });

  it('is refused at once when no key is back in time, not even by a millisecond', async () => {
    const { clock, stand } = createLine({ 'google-1': 5.001, 'google-2': 600 });
    expect(await look([stand(5)])).toEqual(['none']);
    expect(clock.pendingTimers()).toBe(0);
  });

  it('waits for a key that is back at the very last moment', async () => {
    const { clock, stand } = createLine({ 'google-1': 5 });
    const waiter = stand(5);
    clock.advance(5 * SECOND);
    expect(await look([waiter])).toEqual(['google-1']);
  });

  it('has a key at once that is back already', async () => {
    const { clock, stand } = createLine({ 'google-1': 3 });
    clock.advance(3 * SECOND);
    expect(await look([stand()])).toEqual(['google-1']);
    expect(clock.pendingTimers()).toBe(0);
  });

  it('is refused at once when its caller has gone already', async () => {
    const { stand, line } = createLine({ 'google-1': 3 });
    expect(await look([stand(5, AbortSignal.abort())])).toEqual(['none']);
    expect(line.isEmpty()).toBe(true);
  });

  it('leaves at once when its caller goes, and takes no key with it', async () => {
    const { clock, stand, line } = createLine({ 'google-1': 3 });
    const caller = new AbortController();
    const waiter = stand(5, caller.signal);
    caller.abort();
    expect(await look([waiter])).toEqual(['none']);
    expect(line.isEmpty()).toBe(true);
    const next = stand();
    clock.advance(3 * SECOND);
    expect(await look([waiter, next])).toEqual(['none', 'google-1']);
    expect(clock.pendingTimers()).toBe(0);
  });

  it('leaves no listener behind, however it went away', async () => {
    const { clock, stand } = createLine({ 'google-1': 3 });
    const { signal } = new AbortController();
    let listeners = 0;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      listeners += 1;
      add(...args);
    };
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      listeners -= 1;
      remove(...args);
    };
    const waiter = stand(5, signal);
    expect(listeners).toBe(1);
    clock.advance(3 * SECOND);
    expect([await look([waiter]), listeners]).toEqual([['google-1'], 0]);
  });
});

describe('while a trial is in flight', () => {
  it('a newcomer waits for its outcome, and takes over when it succeeds', async () => {
    const { clock, stand, end } = createLine({ 'google-1': 3 });
    clock.advance(3 * SECOND);
    const trial = stand();
    const newcomer = stand();
    expect(await look([trial, newcomer])).toEqual(['google-1', STILL_WAITING]);
    end(await leaseOf(trial), SUCCESS);
    expect(await look([newcomer])).toEqual(['google-1']);
  });

  it('a newcomer is refused as soon as the key is spent again for longer than it would wait', async () => {
    const { clock, stand, end, line } = createLine({ 'google-1': 3 });
    clock.advance(3 * SECOND);
    const trial = stand();
    const newcomers = [stand(), stand()];
    end(await leaseOf(trial), failed.minute(30 * SECOND));
    expect(await look(newcomers)).toEqual(['none', 'none']);
    expect([line.isEmpty(), clock.pendingTimers()]).toEqual([true, 0]);
  });

  it('a newcomer waits on when the key is spent again for less', async () => {
    const { clock, stand, end } = createLine({ 'google-1': 3 });
    clock.advance(3 * SECOND);
    const trial = stand();
    const newcomer = stand();
    end(await leaseOf(trial), failed.minute(2 * SECOND));
    clock.advance(2 * SECOND - 1);
    expect(await look([newcomer])).toEqual([STILL_WAITING]);
    clock.advance(1);
    expect(await look([newcomer])).toEqual(['google-1']);
  });

  it('a newcomer has the next trial when this one found nothing out', async () => {
    const { clock, stand, end } = createLine({ 'google-1': 3 });
    clock.advance(3 * SECOND);
    const trial = stand();
    const newcomers = [stand(), stand()];
    end(await leaseOf(trial), failed.gone);
    expect(await look(newcomers)).toEqual(['google-1', STILL_WAITING]);
  });

  it('newcomers whose patience ends hear the outcome first, and have the key in turn when it is good', async () => {
    const { clock, stand, end } = createLine({ 'google-1': 3 });
    clock.advance(3 * SECOND);
    const trial = stand();
    const newcomers = [stand(5), stand(5), stand(5), stand(5)];
    clock.advance(7 * SECOND);
    expect(await look(newcomers)).toEqual(Array(4).fill(STILL_WAITING));
    end(await leaseOf(trial), SUCCESS);
    expect(await look(newcomers)).toEqual([
      ...Array(2).fill('google-1'),
      ...Array(2).fill(STILL_WAITING),
    ]);
    end(await leaseOf(newcomers[0]), SUCCESS);
    expect(await look(newcomers)).toEqual(Array(4).fill('google-1'));
    expect(clock.pendingTimers()).toBe(0);
  });

  it('newcomers that waited for the outcome as long as they may have a good key before their turn', async () => {
    const { clock, stand, line } = createLine({ 'google-1': 3 });
    clock.advance(3 * SECOND);
    const trial = stand();
    const newcomers = Array.from({ length: 5 }, () => stand(5));
    clock.advance(7 * SECOND);
    (await leaseOf(trial)).prove();
    line.keyProved(null);
    clock.advance((HEARS_FOR_SECONDS - 2) * SECOND - 1);
    expect(await look(newcomers)).toEqual([
      ...Array(2).fill('google-1'),
      ...Array(3).fill(STILL_WAITING),
    ]);
    clock.advance(1);
    expect(await look(newcomers)).toEqual(Array(5).fill('google-1'));
  });

  it('nobody passes who was there before, although its own patience ends first', async () => {
    const { clock, stand, line } = createLine({ 'google-1': 3 });
    clock.advance(3 * SECOND);
    const trial = stand();
    const waiters = [...Array.from({ length: 4 }, () => stand(10)), stand(5)];
    (await leaseOf(trial)).prove();
    line.keyProved(null);
    clock.advance(5 * SECOND);
    expect(await look(waiters)).toEqual([
      ...Array(3).fill('google-1'),
      STILL_WAITING,
      STILL_WAITING,
    ]);
  });

  it('a newcomer whose patience has ended is refused as soon as the key is found spent again', async () => {
    const { clock, stand, end, line } = createLine({ 'google-1': 3 });
    clock.advance(3 * SECOND);
    const trial = stand();
    const newcomers = [stand(5), stand(5)];
    clock.advance(6 * SECOND);
    end(await leaseOf(trial), failed.minute(2 * SECOND));
    expect(await look(newcomers)).toEqual(['none', 'none']);
    expect([line.isEmpty(), clock.pendingTimers()]).toEqual([true, 0]);
  });

  it('a newcomer whose patience has ended tries next when the trial found nothing out', async () => {
    const { clock, stand, end } = createLine({ 'google-1': 3 });
    clock.advance(3 * SECOND);
    const trial = stand();
    const newcomers = [stand(5), stand(5)];
    clock.advance(6 * SECOND);
    end(await leaseOf(trial), failed.gone);
    expect(await look(newcomers)).toEqual(['google-1', STILL_WAITING]);
  });

  it('a newcomer whose patience has ended has another key that comes back meanwhile', async () => {
    const { clock, stand } = createLine({ 'google-1': 3, 'google-2': 10 });
    clock.advance(3 * SECOND);
    stand();
    const newcomer = stand(5);
    clock.advance(7 * SECOND - 1);
    expect(await look([newcomer])).toEqual([STILL_WAITING]);
    clock.advance(1);
    expect(await look([newcomer])).toEqual(['google-2']);
  });

  it('a newcomer hears no outcome later than it may, however long the trial takes', async () => {
    const { clock, stand } = createLine({ 'google-1': 3 });
    clock.advance(3 * SECOND);
    stand();
    const newcomer = stand(5);
    clock.advance((5 + HEARS_FOR_SECONDS) * SECOND - 1);
    expect(await look([newcomer])).toEqual([STILL_WAITING]);
    clock.advance(1);
    expect(await look([newcomer])).toEqual(['none']);
    expect(clock.pendingTimers()).toBe(0);
  });

  it('a newcomer is not sent away because the clock ticks while its case is looked at', async () => {
    const clock = createTickingClock();
    const { stand, end } = createLine({ 'google-1': 3 }, 100, clock);
    clock.advance(3 * SECOND);
    const trial = stand();
    const newcomer = stand(5);
    clock.advance(6 * SECOND);
    expect(await look([newcomer])).toEqual([STILL_WAITING]);
    end(await leaseOf(trial), SUCCESS);
    expect(await look([newcomer])).toEqual(['google-1']);
  });

  it('a newcomer whose patience has ended has a key that rests rather than the hope of a better one', async () => {
    const setting = createPool(['google-1', 'google-2']);
    for (const outcome of [SUCCESS, failed.down, SUCCESS, failed.down, failed.minute(3 * SECOND)]) {
      setting.lease().report(outcome);
    }
    const { clock, stand } = lineBefore(setting);
    clock.advance(3 * SECOND);
    const trial = stand();
    const newcomer = stand(5);
    clock.advance(5 * SECOND - 1);
    expect(await look([trial, newcomer])).toEqual(['google-1', STILL_WAITING]);
    clock.advance(1);
    expect(await look([newcomer])).toEqual(['google-2']);
  });

  it('whoever has no patience at all is refused at once', async () => {
    const { clock, stand } = createLine({ 'google-1': 3 });
    clock.advance(3 * SECOND);
    stand();
    expect(await look([stand(0)])).toEqual(['none']);
  });

  it('a newcomer for whom the key under trial is no good does not wait for it', async () => {
    const { clock, stand, searchThatFailed } = createLine({ 'google-1': 3 });
    clock.advance(3 * SECOND);
    stand();
    expect(await look([stand(5, undefined, searchThatFailed('google-1'))])).toEqual(['none']);
  });
});

describe('several requests in line', () => {
  it('are served in the order in which they came, one for each key that is back', async () => {
    const { clock, stand } = createLine({ 'google-1': 2, 'google-2': 3 });
    const waiters = [stand(), stand(), stand()];
    clock.advance(2 * SECOND);
    expect(await look(waiters)).toEqual(['google-1', STILL_WAITING, STILL_WAITING]);
    clock.advance(1 * SECOND);
    expect(await look(waiters)).toEqual(['google-1', 'google-2', STILL_WAITING]);
  });

  it('follow a key that works faster and faster: each success lets two in', async () => {
    const { clock, stand, end } = createLine({ 'google-1': 2 });
    const waiters = Array.from({ length: 7 }, () => stand());
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

  it('stop following at the first refusal', async () => {
    const { clock, stand, end } = createLine({ 'google-1': 2 });
    const waiters = Array.from({ length: 6 }, () => stand());
    clock.advance(2 * SECOND);
    end(await leaseOf(waiters[0]), SUCCESS);
    end(await leaseOf(waiters[1]), failed.day);
    expect(await look(waiters)).toEqual([...Array(3).fill('google-1'), ...Array(3).fill('none')]);
  });

  it('are passed by when the first has gone', async () => {
    const { clock, stand } = createLine({ 'google-1': 2 });
    const caller = new AbortController();
    const waiters = [stand(5, caller.signal), stand()];
    clock.advance(SECOND);
    caller.abort();
    clock.advance(SECOND);
    expect(await look(waiters)).toEqual(['none', 'google-1']);
  });

  it('each wait their own time', async () => {
    const { clock, stand } = createLine({ 'google-1': 2 });
    const waiters = [stand(2), stand(3), stand(4)];
    clock.advance(2 * SECOND);
    expect(await look(waiters)).toEqual(['google-1', STILL_WAITING, STILL_WAITING]);
    clock.advance((1 + HEARS_FOR_SECONDS) * SECOND);
    expect(await look(waiters)).toEqual(['google-1', 'none', STILL_WAITING]);
    clock.advance(SECOND);
    expect(await look(waiters)).toEqual(['google-1', 'none', 'none']);
    expect(clock.pendingTimers()).toBe(0);
  });

  it('a newcomer does not pass them, although a key is back', async () => {
    const { clock, stand, end } = createLine({ 'google-1': 2, 'google-2': 2 });
    clock.advance(2 * SECOND);
    const trials = [stand(), stand()];
    const waiting = stand();
    end(await leaseOf(trials[0]), failed.gone);
    expect(await look([waiting, stand()])).toEqual(['google-1', STILL_WAITING]);
  });

  it('are no more than the line has room for', async () => {
    const { clock, stand } = createLine({ 'google-1': 2 }, 2);
    const waiters = [stand(), stand(), stand()];
    expect(await look(waiters)).toEqual([STILL_WAITING, STILL_WAITING, 'none']);
    clock.advance(2 * SECOND);
    const later = stand();
    expect(await look([...waiters, later])).toEqual([
      'google-1',
      STILL_WAITING,
      'none',
      STILL_WAITING,
    ]);
  });

  it('have one alarm between them', () => {
    const { clock, stand } = createLine({ 'google-1': 2, 'google-2': 3 });
    for (let turn = 0; turn < 50; turn += 1) stand();
    expect(clock.pendingTimers()).toBe(1);
  });
});

describe('an empty line', () => {
  it('does nothing when a key answers or fails', () => {
    const { clock, line } = createLine({ 'google-1': 2 });
    line.keyProved(null);
    line.leaseFailed(null);
    expect([line.isEmpty(), clock.pendingTimers()]).toEqual([true, 0]);
  });
});

describe('a line with different wishes', () => {
  const createTwoModels = (maxWaiting = 100) => {
    const { pool, clock, lease } = createPool(['google-1'], ['flash', 'pro']);
    lease('flash').report(failed.minute(4 * SECOND));
    const line = createWaitQueue(clock, maxWaiting);
    const stand = (model: string) =>
      outcomeOf(
        line.wait(
          new CandidateSearch(pool, { targets: [google(model)] }),
          patience(clock, 5),
          new AbortController().signal,
        ),
      );
    return { pool, clock, line, stand };
  };

  it('lets a newcomer pass at once whose model is not what the others wait for', async () => {
    const { stand } = createTwoModels();
    expect(await look([stand('flash'), stand('pro')])).toEqual([STILL_WAITING, 'google-1']);
  });

  it('lets such a newcomer pass although it is full', async () => {
    const { stand } = createTwoModels(2);
    const waiters = [stand('flash'), stand('flash'), stand('flash'), stand('pro')];
    expect(await look(waiters)).toEqual([STILL_WAITING, STILL_WAITING, 'none', 'google-1']);
  });

  it('keeps a pace for each model: such a newcomer is not held up by it', async () => {
    const { clock, line, stand } = createTwoModels();
    const flash = Array.from({ length: 6 }, () => stand('flash'));
    clock.advance(4 * SECOND);
    (await leaseOf(flash[0])).prove();
    line.keyProved(null);
    expect(await look([...flash, stand('pro')])).toEqual([
      ...Array(3).fill('google-1'),
      ...Array(3).fill(STILL_WAITING),
      'google-1',
    ]);
  });
});

describe('the pace', () => {
  /** A line for one model behind its first proof, three of it let in; the other model is idle. */
  async function createPaced(waiting: number) {
    const { pool, clock, lease } = createPool(['google-1'], ['flash', 'pro']);
    lease('flash').report(failed.minute(2 * SECOND));
    const line = createWaitQueue(clock, 100);
    const stand = (
      targets: [Target, ...Target[]],
      signal = new AbortController().signal,
      seconds = 5,
    ) =>
      outcomeOf(
        line.wait(new CandidateSearch(pool, { targets }), patience(clock, seconds), signal),
      );
    const first = new AbortController();
    const waiters = [stand([google('flash')]), stand([google('flash')]), stand([google('flash')])];
    const impatient = stand([google('flash')], first.signal, 2.5);
    waiters.push(...Array.from({ length: waiting }, () => stand([google('flash')])));
    clock.advance(2 * SECOND);
    (await leaseOf(waiters[0])).prove();
    line.keyProved(null);
    const letIn = async () => (await look(waiters)).filter((got) => got === 'google-1').length;
    expect(await letIn()).toBe(3);
    return { clock, line, letIn, stand, first, impatient };
  }

  it('of one model is not quickened by the answers and failures of another', async () => {
    const { line, letIn } = await createPaced(10);
    for (let turn = 0; turn < 5; turn += 1) line.keyProved(google('pro'));
    for (let turn = 0; turn < 5; turn += 1) line.leaseFailed(google('pro'));
    expect(await letIn()).toBe(3);
    line.leaseFailed(google('flash'));
    expect(await letIn()).toBe(3);
    line.keyProved(google('flash'));
    expect(await letIn()).toBe(5);
  });

  it('is not quickened by an alarm of somebody who has left', async () => {
    const { clock, letIn, first, impatient } = await createPaced(5);
    first.abort();
    clock.advance(SECOND);
    expect([await letIn(), ...(await look([impatient]))]).toEqual([3, 'none']);
  });

  it('lets two in where the patience of many ends at once, and the others keep their place', async () => {
    const { clock, letIn } = await createPaced(10);
    clock.advance(3 * SECOND);
    const after = await letIn();
    expect(after).toBeGreaterThan(3);
    expect(after).toBeLessThanOrEqual(3 + 2 + 1);
  });

  it('of one model is no obstacle to a newcomer who wants what those before it cannot use', async () => {
    const { pool, clock, lease } = createPool(['google-1'], ['flash', 'pro']);
    lease('flash').report(failed.minute(2 * SECOND));
    const line = createWaitQueue(clock, 100);
    const signal = new AbortController().signal;
    const stand = (search: CandidateSearch) =>
      outcomeOf(line.wait(search, patience(clock, 5), signal));
    const burnt = new CandidateSearch(pool, { targets: [google('pro'), google('flash')] });
    burnt.failed(
      { key: { id: 'google-1', project: 'google-1' }, target: google('pro') },
      failed.down,
      null,
    );
    const waiting = stand(burnt);
    const newcomer = stand(new CandidateSearch(pool, { targets: [google('pro')] }));
    expect(await look([waiting, newcomer])).toEqual([STILL_WAITING, 'google-1']);
  });
});

describe('a key that rests', () => {
  it('serves a waiter as soon as its rest is over, although a parked one comes back later', async () => {
    const setting = createPool(['google-1', 'google-2']);
    const report = (outcome: Parameters<Lease['report']>[0]) => setting.lease().report(outcome);
    for (const outcome of [SUCCESS, failed.down, SUCCESS, failed.down]) report(outcome);
    setting.clock.advance(29 * SECOND);
    report(failed.minute(5 * SECOND));
    const { clock, stand } = lineBefore(setting);
    const waiter = stand(5);
    clock.advance(SECOND - 1);
    expect(await look([waiter])).toEqual([STILL_WAITING]);
    clock.advance(1);
    expect(await look([waiter])).toEqual(['google-2']);
  });
});

describe('a trial that streams for long', () => {
  it('lets others in at its first chunk, two at a time, long before it ends', async () => {
    const { clock, line, stand } = createLine({ 'google-1': 2 });
    const waiters = Array.from({ length: 5 }, () => stand());
    clock.advance(2 * SECOND);
    const trial = await leaseOf(waiters[0]);
    trial.prove();
    line.keyProved(null);
    expect(await look(waiters)).toEqual([
      'google-1',
      'google-1',
      'google-1',
      STILL_WAITING,
      STILL_WAITING,
    ]);
  });
});

it('leaves no alarm behind when the only client in line hangs up', () => {
  const { clock, stand } = createLine({ 'google-1': 2 });
  const controller = new AbortController();
  stand(5, controller.signal);
  expect(clock.pendingTimers()).toBe(1);
  controller.abort();
  expect(clock.pendingTimers()).toBe(0);
});
