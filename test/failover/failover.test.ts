import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { type Caller, createFailover } from '../../src/failover/failover.ts';
import { createHedging } from '../../src/failover/hedging.ts';
import { ServiceError } from '../../src/failover/service-error.ts';
import { createWaitQueues } from '../../src/failover/wait-queue.ts';
import { createRequestLog } from '../../src/observability/request-log.ts';
import { google as googleProvider } from '../../src/providers/gemini/gemini.ts';
import type { AnswerEnd, CallHandler, Client } from '../../src/providers/provider.ts';
import type { Clock } from '../../src/shared/clock.ts';
import { type Failure, UpstreamError } from '../../src/shared/failure.ts';
import { createLogger } from '../../src/shared/logger.ts';
import type { Target } from '../../src/shared/target.ts';
import { ModelQuota } from '../../standin/google/quota.ts';
import { createQuotaWindows } from '../../standin/quota-window.ts';
import { createPool, failed, google } from '../support/pool.ts';
import { flow } from '../support/start-app.ts';

const SECOND = 1000;

/** The steps of one call: each takes its time, then says something or fails. */
type Step = { readonly after?: number; readonly say?: string; readonly fail?: Failure | Error };

interface Call {
  readonly key: string;
  readonly model: string;
  readonly at: number;
}

/** The failover with a scripted upstream, for answers that are collected. */
function createSetting(
  keys: string[],
  script: (call: Call) => readonly Step[],
  {
    models = ['flash'],
    keyWaitMs = 5 * SECOND,
    requestTimeoutMs = 60 * SECOND,
    mayHedge = false,
  } = {},
) {
  const { pool, clock, lease } = createPool(keys, models);
  const startedAt = clock.now();
  const calls: Call[] = [];
  const logged: Record<string, unknown>[] = [];
  const destination = { write: (line: string) => void logged.push(JSON.parse(line)) };
  const failover = createFailover({
    tracing: null,
    pool,
    clock,
    random: () => 0.5,
    queues: createWaitQueues(clock, [googleProvider]),
    hedging: createHedging(),
    providers: [googleProvider],
    sinks: [
      createRequestLog(
        createLogger({ level: 'debug', redact: (text) => text, destination }),
        pool.inspection,
        [googleProvider],
      ),
    ],
    requestTimeoutMs,
    attemptTimeoutMs: 20 * SECOND,
    streamIdleMs: 30 * SECOND,
    keyWaitMs,
  });
  const client: Client<null, string, AnswerEnd> = {
    call(_question, key, target, handler) {
      const call = { key: key.id, model: target.label, at: clock.now() - startedAt };
      calls.push(call);
      return play(script(call), handler, clock);
    },
  };
  const ask = (wanted = models, caller = createCaller()) =>
    new Promise<string>((resolve, reject) => {
      let reply = '';
      failover(
        {
          operation: 'chat',
          targets: wanted.map(google) as [Target, ...Target[]],
          caller,
          question: null,
          clients: new Map([['google', client]]),
          isStreamed: false,
          mayHedge,
        },
        {
          onAttempt() {
            reply = '';
          },
          onChunk(text) {
            reply += text;
            return true;
          },
          onEnd: () => resolve(reply),
          onError: reject,
        },
      );
    });
  return { pool, clock, lease, calls, ask, lines: logged, took: () => clock.now() - startedAt };
}

function play(steps: readonly Step[], handler: CallHandler<string, AnswerEnd>, clock: Clock) {
  let isAborted = false;
  const playAll = async () => {
    for (const step of steps) {
      const text = await take(step, clock);
      if (!isAborted) handler.onChunk(text);
    }
  };
  playAll()
    .then(() => isAborted || handler.onEnd({ usage: null }))
    .catch((error: unknown) => isAborted || handler.onFailure(error));
  const abort = () => {
    isAborted = true;
  };
  return { pause() {}, resume() {}, abort };
}

async function take({ after = 0, say = '', fail }: Step, clock: Clock): Promise<string> {
  if (after > 0) await new Promise<void>((done) => clock.after(after, done));
  if (fail !== undefined) throw fail instanceof Error ? fail : new UpstreamError(fail);
  return say;
}

const createCaller = (): Caller => ({
  requestId: 'request-1',
  client: null,
  isGone: false,
  work: null,
  trace: null,
});

function hangUp(caller: Caller): void {
  caller.isGone = true;
  caller.work?.callerGone();
}

/** The answer, or the code and the retry time of the refusal. */
const outcomeOf = (answer: Promise<string>) =>
  answer.catch((error: unknown) =>
    error instanceof ServiceError ? [error.code, error.retryAfterMs] : error,
  );

const summaries = (lines: readonly Record<string, unknown>[]) =>
  lines.map(({ msg }) => msg).filter((msg) => msg !== 'attempt');

const EIGHT = Array.from({ length: 8 }, (_, index) => `key-${index}`);

describe('a request whose keys return as fast as it tries them', () => {
  const spentAgain = () => [{ after: 200, fail: failed.minute(1500) }];

  it('does not go round: its waiting time counts from the first time that all are spent', async () => {
    const { clock, calls, ask, took } = createSetting(EIGHT, spentAgain);
    const outcome = await flow(clock, outcomeOf(ask()), 50);
    expect(outcome).toEqual(['all_keys_exhausted', expect.any(Number)]);
    expect(calls.length).toBeLessThanOrEqual(8 * 4);
    expect(took()).toBeLessThan(8 * SECOND);
  });

  it('tries each once when it may not wait', async () => {
    const { clock, calls, ask } = createSetting(EIGHT, spentAgain, { keyWaitMs: 0 });
    await flow(clock, outcomeOf(ask()), 50);
    expect(calls.map(({ key }) => key)).toEqual(EIGHT);
  });
});

describe('after the deadline', () => {
  it('no further key is called, although one is left', async () => {
    const slow = ({ key }: Call) =>
      key === 'key-0'
        ? [
            { say: 'a' },
            { after: 29 * SECOND },
            { after: 29 * SECOND },
            { after: 9 * SECOND, fail: failed.day },
          ]
        : [{ say: 'b' }];
    const { clock, calls, ask } = createSetting(['key-0', 'key-1'], slow);
    const outcome = await flow(clock, outcomeOf(ask()), 50);
    expect(outcome).toEqual(['all_keys_exhausted', expect.any(Number)]);
    expect(calls).toHaveLength(1);
  });

  it('a key that returns at that very moment is not called either', async () => {
    const { clock, calls, ask, lease } = createSetting(['key-0'], () => [{ say: 'a' }], {
      keyWaitMs: 100 * SECOND,
    });
    lease().report(failed.minute(60 * SECOND));
    expect(await flow(clock, outcomeOf(ask()), 50)).toEqual([
      'all_keys_exhausted',
      expect.any(Number),
    ]);
    expect(calls).toEqual([]);
  });
});

describe('a queue for one model', () => {
  const TWO_MODELS = { models: ['flash', 'pro'] };

  it('refuses no request for another, however full it is', async () => {
    const { clock, ask, lease, took } = createSetting(['key-0'], () => [{ say: 'Hi' }], TWO_MODELS);
    lease('flash').report(failed.minute(4 * SECOND));
    const waiting = Array.from({ length: 1001 }, () => outcomeOf(ask(['flash'])));
    expect(await ask(['pro'])).toBe('Hi');
    expect(took()).toBe(0);
    const outcomes = await flow(clock, Promise.all(waiting), 50);
    expect(outcomes.filter((outcome) => outcome === 'Hi')).toHaveLength(1000);
  });

  it('refuses the newest request of the client that has filled it, not that of another', async () => {
    const { clock, ask, lease } = createSetting(['key-0'], () => [{ say: 'Hi' }]);
    lease().report(failed.minute(4 * SECOND));
    const greedy = { name: 'greedy', weight: 1 };
    const callers = Array.from({ length: 1000 }, () => ({ ...createCaller(), client: greedy }));
    const waiting = callers.map((caller) => outcomeOf(ask(['flash'], caller)));
    const other = ask(['flash'], { ...createCaller(), client: { name: 'other', weight: 1 } });
    await nextTurn();
    const ended = callers.filter(({ trace }) => trace !== null && trace.end !== null);
    expect(ended).toEqual([callers.at(-1)]);
    // What was refused counts for no share.
    expect(ended[0]?.trace?.end).toMatchObject({ kind: 'refused', code: 'all_keys_exhausted' });
    expect(await flow(clock, other, 50)).toBe('Hi');
    await flow(clock, Promise.all(waiting), 50);
  });

  it('delays no request for another, however slowly it moves', async () => {
    const { clock, ask, lease } = createSetting(
      ['key-0'],
      ({ model }) => [{ after: model === 'flash' ? 2 * SECOND : 10, say: 'Hi' }],
      TWO_MODELS,
    );
    lease('flash').report(failed.minute(SECOND));
    const waiting = Array.from({ length: 100 }, () => outcomeOf(ask(['flash'])));
    await flow(clock, new Promise<void>((resolve) => clock.after(3100, resolve)), 10);
    const askedAt = clock.now();
    expect(await flow(clock, ask(['pro']), 10)).toBe('Hi');
    expect(clock.now() - askedAt).toBeLessThanOrEqual(20);
    await flow(clock, Promise.all(waiting), 50);
  });
});

describe('a queue for one model that moves slowly', () => {
  it('is not served faster by requests for another that fail', async () => {
    const { clock, ask, lease, calls } = createSetting(
      ['key-0'],
      ({ model }) =>
        model === 'flash' ? [{ after: 2 * SECOND, say: 'Hi' }] : [{ fail: failed.badRequest }],
      { models: ['flash', 'pro'] },
    );
    lease('flash').report(failed.minute(SECOND));
    const waiting = Array.from({ length: 20 }, () => outcomeOf(ask(['flash'])));
    await flow(clock, new Promise<void>((resolve) => clock.after(3100, resolve)), 10);
    for (let turn = 0; turn < 5; turn += 1) await outcomeOf(ask(['pro']));
    expect(calls.filter(({ model }) => model === 'flash')).toHaveLength(3);
    await flow(clock, Promise.all(waiting), 50);
  });
});

describe('a queue for a key that works', () => {
  it('moves at the first chunk of an answer, not once more at its end', async () => {
    const answer = [
      { after: SECOND, say: 'a' },
      { after: SECOND, say: 'b' },
    ];
    const { clock, ask, lease, calls } = createSetting(['key-0'], () => answer);
    lease().report(failed.minute(SECOND));
    const asked = Array.from({ length: 20 }, () => outcomeOf(ask()));
    await flow(clock, new Promise<void>((resolve) => clock.after(4500, resolve)), 10);
    const starts = calls.map(({ at }) => Math.round(at / SECOND));
    expect(starts).toEqual([1, ...Array(2).fill(2), ...Array(4).fill(3), ...Array(8).fill(4)]);
    await flow(clock, Promise.all(asked), 50);
  });

  it('wakes when an answer ends the ejection of a key', async () => {
    let hangs = true;
    const { clock, ask, pool, took } = createSetting(['key-0', 'key-1'], () => {
      const steps = hangs ? [{ after: 15 * SECOND, say: 'a' }] : [{ after: SECOND, say: 'b' }];
      hangs = false;
      return steps;
    });
    const of = (id: string) =>
      pool.lease(google('flash'), { except: new Set([id === 'key-0' ? 'key-1' : 'key-0']) });
    of('key-0')?.report(failed.down);
    of('key-1')?.report({ kind: 'success' });
    of('key-0')?.report(failed.down);
    of('key-1')?.report(failed.minute(40 * SECOND));
    const asked = [outcomeOf(ask()), outcomeOf(ask())];
    const waiting = flow(clock, new Promise<void>((resolve) => clock.after(500, resolve)), 10);
    await waiting;
    expect(pool.inspection.counts('google')).toMatchObject({ available: 0, cooling_down: 2 });
    await flow(clock, asked[1] ?? Promise.resolve(), 10);
    expect(pool.inspection.counts('google')).toMatchObject({ available: 1 });
    expect(await flow(clock, outcomeOf(ask()), 10)).toBe('b');
    expect(took()).toBeLessThan(3 * SECOND);
    await flow(clock, Promise.all(asked), 50);
  });
});

it('a request that waits for the last key is told that there is none when it is removed', async () => {
  const { clock, ask, lease, pool } = createSetting(['key-0'], () => []);
  lease().report(failed.minute(4 * SECOND));
  const answer = outcomeOf(ask());
  pool.remove('key-0');
  clock.advance(4 * SECOND);
  expect(await answer).toEqual(['no_keys_configured', null]);
});

describe('a caller that leaves', () => {
  it('while it waits frees its place at once, and its wait is counted', async () => {
    const client = createCaller();
    const { clock, ask, lease, calls } = createSetting(['key-0'], () => []);
    lease().report(failed.minute(4 * SECOND));
    const answer = outcomeOf(ask(['flash'], client));
    clock.advance(3 * SECOND);
    hangUp(client);
    expect(await answer).toEqual(['client_gone', null]);
    expect([clock.pendingTimers(), client.work, calls]).toEqual([0, null, []]);
    expect(client.trace).toMatchObject({ waitedMs: 3 * SECOND, end: { kind: 'client_gone' } });
  });

  it('just when its key returns leaves the key to the next request', async () => {
    const client = createCaller();
    const { clock, ask, lease, calls } = createSetting(['key-0'], () => [{ say: 'Hi' }]);
    lease().report(failed.minute(4 * SECOND));
    const answers = [outcomeOf(ask(['flash'], client)), outcomeOf(ask())];
    clock.advance(4 * SECOND);
    hangUp(client);
    expect(await Promise.all(answers)).toEqual([['client_gone', null], 'Hi']);
    expect(calls).toHaveLength(1);
  });

  it('in the pause after an upstream failure starts no further attempt', async () => {
    const client = createCaller();
    const { clock, ask, calls } = createSetting(['key-0', 'key-1'], () => [{ fail: failed.down }]);
    const answer = outcomeOf(ask(['flash'], client));
    await vi.waitFor(() => expect([calls.length, clock.pendingTimers()]).toEqual([1, 1]));
    hangUp(client);
    expect(await answer).toEqual(['client_gone', null]);
    expect([calls.length, clock.pendingTimers()]).toEqual([1, 0]);
  });
});

describe('the retry time of a refusal', () => {
  it('is when the first key returns by itself, not when a rejected one is probed', async () => {
    const { clock, ask, lease } = createSetting(['key-0', 'key-1'], () => [{ fail: failed.day }]);
    lease().report(failed.badKey);
    clock.advance(3540 * SECOND);
    expect(await outcomeOf(ask())).toEqual(['all_keys_exhausted', 3600 * SECOND]);
  });

  it('is when a rejected key is probed where there is no other', async () => {
    const { ask } = createSetting(['key-0'], () => [{ fail: failed.badKey }]);
    expect(await outcomeOf(ask())).toEqual(['all_keys_exhausted', 3600 * SECOND]);
  });
});

describe('a slow attempt', () => {
  const HANG = [{ after: 3600 * SECOND }];
  const answers = (after: number): readonly Step[] => [{ after, say: 'Hi' }];
  const TEN = Array.from({ length: 10 }, (_, index) => `key-${index}`);
  const hangs = (keys: readonly string[]) => (call: Call) =>
    keys.includes(call.key) ? HANG : answers(500);

  /** All keys answer in their turn, so that the usual time is known. */
  async function createPractised(script: (call: Call) => readonly Step[], practiceMs = 500) {
    let isPractice = true;
    const setting = createSetting(
      TEN,
      (call) => (isPractice ? answers(practiceMs) : script(call)),
      { mayHedge: true },
    );
    for (const _ of TEN) await flow(setting.clock, setting.ask(), 50);
    isPractice = false;
    setting.calls.length = setting.lines.length = 0;
    const timed = async () => {
      const before = setting.clock.now();
      const outcome = await flow(setting.clock, outcomeOf(setting.ask()), 50);
      return [outcome, setting.clock.now() - before];
    };
    return { ...setting, timed };
  }

  it('gets a second one after two seconds, not a moment before, and the first to speak is kept', async () => {
    const { clock, ask, calls, lines } = await createPractised(hangs(['key-0']));
    const startedAt = clock.now();
    const answer = ask();
    clock.advance(1999);
    expect(calls).toHaveLength(1);
    clock.advance(1);
    // The key that has answered last.
    expect(calls.map(({ key }) => key)).toEqual(['key-0', 'key-9']);
    expect(await flow(clock, answer, 50)).toBe('Hi');
    expect(clock.now() - startedAt).toBe(2500);
    expect(lines.map(({ msg, hedge, outcome }) => [msg, hedge ?? outcome])).toEqual([
      ['attempt', 'superseded'],
      ['a second key was asked beside a slow one', 'won'],
    ]);
    expect(clock.pendingTimers()).toBe(1);
  });

  it('is kept when it speaks first, and the second one is given up', async () => {
    const { calls, lines, timed } = await createPractised(({ key }) =>
      answers(key === 'key-0' ? 2100 : 700),
    );
    expect(await timed()).toEqual(['Hi', 2100]);
    expect([calls.length, lines.at(-1)?.hedge]).toEqual([2, 'wasted']);
  });

  it('may fail while the second one goes on, and the other way round', async () => {
    const late = await createPractised(({ key }) =>
      key === 'key-0' ? [{ after: 2100, fail: failed.down }] : answers(500),
    );
    expect(await late.timed()).toEqual(['Hi', 2500]);
    const hedge = await createPractised(({ key }) =>
      key === 'key-1' ? [{ fail: failed.day }] : answers(2900),
    );
    expect(await hedge.timed()).toEqual(['Hi', 2900]);
    expect(hedge.calls).toHaveLength(2);
  });

  it('ends with the second one when that finds a fault of the request', async () => {
    const { calls, timed } = await createPractised(({ key }) =>
      key === 'key-0' ? HANG : [{ fail: failed.badRequest }],
    );
    const [error, ms] = await timed();
    expect([(error as UpstreamError).failure.kind, ms]).toEqual(['request_fault', 2000]);
    expect(calls).toHaveLength(2);
  });

  it('gets one second attempt in all, whatever becomes of both', async () => {
    const { calls, timed } = await createPractised(({ key }) =>
      ['key-0', 'key-9'].includes(key) ? [{ after: 2500, fail: failed.down }] : answers(4 * SECOND),
    );
    expect((await timed())[0]).toBe('Hi');
    expect(calls.map(({ key }) => key)).toEqual(['key-0', 'key-9', 'key-8']);
  });

  it('leaves nothing behind when the client hangs up', async () => {
    const { clock, ask, calls, pool } = await createPractised(() => HANG);
    const caller = createCaller();
    const answer = outcomeOf(ask(['flash'], caller));
    clock.advance(2000);
    expect(calls).toHaveLength(2);
    hangUp(caller);
    expect(await answer).toEqual(['client_gone', null]);
    expect(pool.inspection.inFlight('google')).toBe(0);
  });

  it('of a key that never answers moves it behind its siblings, and parks nothing', async () => {
    const { calls, timed, pool } = await createPractised(hangs(['key-0', 'key-1', 'key-2']));
    const slow: unknown[] = [];
    for (let turn = 0; turn < 40; turn += 1) slow.push((await timed())[1]);
    expect(slow.filter((ms) => ms === 500)).toHaveLength(37);
    expect(slow.every((ms) => Number(ms) <= 2500)).toBe(true);
    expect(calls).toHaveLength(43);
    expect(pool.inspection.counts('google')).toMatchObject({ available: 10 });
  });

  it('is usual for a model that thinks for fifteen seconds: one call for each answer', async () => {
    const { ask, calls, clock } = createSetting(TEN, () => answers(15 * SECOND), {
      mayHedge: true,
    });
    for (let turn = 0; turn < 15; turn += 1) await flow(clock, ask(), 500);
    expect(calls).toHaveLength(15);
  });

  it('gets none while every key is slow', async () => {
    const { ask, calls, clock } = await createPractised(() => answers(9 * SECOND));
    await flow(clock, Promise.all(Array.from({ length: 50 }, () => ask())), 500);
    // The first nine found a key that was not slow yet.
    expect(calls).toHaveLength(59);
  });

  it('gets one for at most ten requests at once, and for each twentieth answer', () => {
    const hedging = createHedging();
    const flash = google('flash');
    for (let taken = 0; taken < 10; taken += 1) {
      expect(hedging.hasLeft(flash, false)).toBe(true);
      hedging.take(flash, false);
    }
    expect(hedging.hasLeft(flash, false)).toBe(false);
    for (let answers = 0; answers < 19; answers += 1) hedging.answered(flash, false, 700);
    expect(hedging.hasLeft(flash, false)).toBe(false);
    hedging.answered(flash, false, 700);
    hedging.answered(flash, false, 700);
    expect(hedging.hasLeft(flash, false)).toBe(true);
  });

  it('gets none where it may not be sent twice', async () => {
    const { ask, calls, clock } = createSetting(TEN, () => answers(9 * SECOND));
    await flow(clock, ask(), 500);
    await flow(clock, ask(), 500);
    expect(calls).toHaveLength(2);
  });
});

describe('a request after an upstream failure', () => {
  it('goes on with the key that has just answered, not with the next in turn', async () => {
    let areBroken = false;
    const { ask, calls, clock } = createSetting(EIGHT, ({ key }) =>
      areBroken && key !== 'key-7' ? [{ fail: failed.down }] : [{ say: 'Hi' }],
    );
    for (const _ of EIGHT) await ask();
    areBroken = true;
    calls.length = 0;
    expect(await flow(clock, ask(), 50)).toBe('Hi');
    expect(calls.map(({ key }) => key)).toEqual(['key-0', 'key-7']);
  });
});

describe('pacing', () => {
  const MINUTE = 60 * SECOND;

  /** Keys with a quota of requests a minute, whose refusals name it or not. */
  function createQuotas(
    rpms: readonly number[],
    namesLimits: boolean,
    options: Parameters<typeof createSetting>[2] = {},
  ) {
    const windows = createQuotaWindows(1);
    const quotas = new Map(
      rpms.map((rpm, index) => [`key-${index}`, { rpm, used: new ModelQuota(windows) }]),
    );
    const setting = createSetting([...quotas.keys()], fail, options);
    function fail({ key }: Call): readonly Step[] {
      const now = setting.clock.now();
      const { rpm = 0, used } = quotas.get(key) ?? {};
      if (used?.spend({ rpm }, 1, now) === null) return [{ after: 500, say: 'Hi' }];
      const limits = namesLimits ? { limits: [{ of: 'rpm', value: rpm }] as const } : {};
      const retryAfterMs = windows.minuteEnd(now) - now;
      return [{ fail: { kind: 'rate_limited', retryAfterMs, message: 'spent', ...limits } }];
    }
    const served = async (arrivals: readonly number[]) => {
      const startedAt = setting.clock.now();
      const answers = arrivals.map(
        (at) =>
          new Promise<string>((resolve, reject) => {
            setting.clock.after(startedAt + at - setting.clock.now(), () =>
              setting.ask().then(resolve, reject),
            );
          }),
      );
      const outcomes = await flow(setting.clock, Promise.allSettled(answers), 250);
      return outcomes.filter(({ status }) => status === 'fulfilled').length;
    };
    return { ...setting, served };
  }

  const evenly = (count: number, from: number, to: number) =>
    Array.from({ length: count }, (_, index) => from + ((to - from) * index) / count);

  it('passes over a key whose quota is used up by what it was told, while a sibling has room', async () => {
    const { calls, served } = createQuotas([3, 30], true);
    expect(await served(evenly(12, 0, 20 * SECOND))).toBe(12);
    const first = calls.length;
    expect(first).toBe(13);
    expect(await served(evenly(12, MINUTE, 80 * SECOND))).toBe(12);
    expect(calls.length - first).toBe(12);
  });

  it('waits for the next minute where no key has room, and then asks without a call in vain', async () => {
    const { calls, served } = createQuotas([3], true);
    await served(evenly(4, 0, 2 * SECOND));
    calls.length = 0;
    expect(
      await served([...evenly(3, MINUTE, 110 * SECOND), ...evenly(3, 116 * SECOND, 117 * SECOND)]),
    ).toBe(6);
    expect(calls).toHaveLength(6);
  });

  it('waits no longer in all than it may, although the key that it asked at its limit was used up', async () => {
    const options = { keyWaitMs: MINUTE, requestTimeoutMs: 10 * MINUTE };
    const { calls, served } = createQuotas([3], true, options);
    expect(await served(evenly(8, 30 * SECOND, 31 * SECOND))).toBe(6);
    const lastAt = Math.max(...calls.map(({ at }) => at));
    expect(lastAt).toBeGreaterThanOrEqual(MINUTE);
    expect(lastAt).toBeLessThanOrEqual(91 * SECOND);
  });

  it('asks a key that seems to be used up once, however many requests come', async () => {
    const { calls, served } = createQuotas([3], true);
    await served(evenly(4, 0, 2 * SECOND));
    calls.length = 0;
    const crowd = evenly(30, MINUTE + 20 * SECOND, MINUTE + 20 * SECOND + 200);
    expect(await served([...evenly(3, MINUTE, MINUTE + SECOND), ...crowd])).toBe(3);
    expect(calls).toHaveLength(4);
  });

  it('keeps a crowd waiting for the outcome, where the quota is larger than it was told', async () => {
    const limits = [{ of: 'rpm', value: 2 }] as const;
    let isSpent = true;
    const { clock, ask, calls } = createSetting(['key-0'], () =>
      isSpent
        ? [{ fail: { kind: 'rate_limited', retryAfterMs: SECOND, message: 'spent', limits } }]
        : [{ after: 400, say: 'Hi' }],
    );
    await flow(clock, outcomeOf(ask()), 250);
    isSpent = false;
    clock.advance(MINUTE);
    await Promise.all([1, 2].map(() => flow(clock, ask(), 250)));
    calls.length = 0;
    const crowd = Promise.all(Array.from({ length: 5 }, () => ask()));
    expect(await flow(clock, crowd, 50)).toEqual(['Hi', 'Hi', 'Hi', 'Hi', 'Hi']);
    expect(calls).toHaveLength(5);
  });

  it('asks a key once before it refuses, and forgets a limit that proves too low', async () => {
    let isRaised = false;
    const limits = [{ of: 'rpm', value: 2 }] as const;
    const { clock, ask, calls, pool } = createSetting(['key-0'], () =>
      isRaised || calls.length % 3 !== 0
        ? [{ say: 'Hi' }]
        : [{ fail: { kind: 'rate_limited', retryAfterMs: 20 * SECOND, message: 'spent', limits } }],
    );
    for (let turn = 0; turn < 3; turn += 1) await flow(clock, outcomeOf(ask()), 250);
    clock.advance(MINUTE);
    isRaised = true;
    expect(await Promise.all([1, 2].map(() => flow(clock, ask(), 250)))).toEqual(['Hi', 'Hi']);
    // It counts as available, since it would be asked before a refusal.
    expect(pool.inspection.counts('google')).toMatchObject({ available: 1 });
    const scopes = () => pool.inspection.facts('google', 'flash', 'key-0')?.scopes;
    expect(scopes()).toMatchObject([{ scope: 'quota', cause: 'paced' }]);
    expect(await flow(clock, ask(), 250)).toBe('Hi');
    expect(scopes()).toEqual([]);
  });

  it('keeps the limit when the answer comes in the next minute: it says nothing of that one', async () => {
    const limits = [{ of: 'rpm', value: 2 }] as const;
    const spent = {
      kind: 'rate_limited',
      retryAfterMs: 20 * SECOND,
      message: 'spent',
      limits,
    } as const;
    const { clock, ask, calls, pool } = createSetting(['key-0'], () => {
      if (calls.length === 3) return [{ fail: spent }];
      return [{ after: calls.length === 6 ? 14 * SECOND : 0, say: 'Hi' }];
    });
    const askTimes = async (times: number) => {
      for (let turn = 0; turn < times; turn += 1) await flow(clock, outcomeOf(ask()), 250);
    };
    await askTimes(3);
    const minuteEnds = Math.ceil(clock.now() / MINUTE) * MINUTE;
    clock.set(minuteEnds + 50 * SECOND);
    await askTimes(3);
    expect([calls.length, clock.now() > minuteEnds + MINUTE]).toEqual([6, true]);
    await askTimes(2);
    const { scopes } = pool.inspection.facts('google', 'flash', 'key-0') ?? {};
    expect(scopes).toMatchObject([{ scope: 'quota', cause: 'paced' }]);
  });

  it('never refuses what an unpaced pool would have served', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 4 }),
        fc.array(fc.integer({ min: 0, max: 4 * MINUTE }), { minLength: 1, maxLength: 60 }),
        async (rpms, times) => {
          const arrivals = times.toSorted((a, b) => a - b);
          const unpaced = createQuotas(rpms, false);
          const paced = createQuotas(rpms, true);
          const least = await unpaced.served(arrivals);
          expect(await paced.served(arrivals)).toBeGreaterThanOrEqual(least);
          const most = unpaced.calls.length + rpms.length;
          expect(paced.calls.length).toBeLessThanOrEqual(most);
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe('the summary of a request', () => {
  it('says that another key stepped in', async () => {
    const { ask, lines } = createSetting(['key-0', 'key-1'], ({ key }) =>
      key === 'key-0' ? [{ fail: failed.day }] : [{ say: 'Hi' }],
    );
    await ask();
    expect(summaries(lines)).toEqual(['another key stepped in']);
  });

  it('says so too when the other key refuses the request itself', async () => {
    const { ask, lines } = createSetting(['key-0', 'key-1'], ({ key }) => [
      { fail: key === 'key-0' ? failed.day : failed.badRequest },
    ]);
    await outcomeOf(ask());
    expect(summaries(lines)).toEqual(['another key stepped in']);
  });

  it('says when the client left before the other key had answered', async () => {
    const client = createCaller();
    const { ask, lines, calls } = createSetting(['key-0', 'key-1'], ({ key }) =>
      key === 'key-0' ? [{ fail: failed.day }] : [{ after: 5 * SECOND, say: 'Hi' }],
    );
    const answer = outcomeOf(ask(['flash'], client));
    while (calls.length < 2) await Promise.resolve();
    hangUp(client);
    expect(await answer).toEqual(['client_gone', null]);
    expect(summaries(lines)).toEqual(['the client left while another key was stepping in']);
  });

  it('is not written for one key that is tried again after a wait', async () => {
    let isSpent = true;
    const { clock, ask, lines } = createSetting(['key-0'], () => {
      const steps = isSpent ? [{ fail: failed.minute(2 * SECOND) }] : [{ say: 'Hi' }];
      isSpent = false;
      return steps;
    });
    expect(await flow(clock, ask(), 50)).toBe('Hi');
    expect(summaries(lines)).toEqual([]);
  });

  it('names the model where another model of the same key stepped in', async () => {
    const { ask, lines } = createSetting(
      ['key-0'],
      ({ model }) => (model === 'flash' ? [{ fail: failed.day }] : [{ say: 'Hi' }]),
      { models: ['flash', 'pro'] },
    );
    await ask();
    expect(summaries(lines)).toEqual(['another model stepped in']);
  });

  it('of a refusal names the keys that were tried, those that are parked, and when to ask again', async () => {
    const { clock, ask, lines, lease } = createSetting(['key-0', 'key-1'], () => [
      { after: 70, fail: failed.day },
    ]);
    const inAnHour = new Date(clock.now() + 3600 * SECOND).toISOString();
    lease().report(failed.badKey);
    await flow(clock, outcomeOf(ask()), 70);
    expect(lines.at(-1)).toMatchObject({
      msg: 'refused',
      code: 'all_keys_exhausted',
      ms: 70,
      retryAfterMs: 3600 * SECOND,
      tried: [{ key: 'key-1', model: 'flash', outcome: 'quota_exhausted' }],
      parked: [
        {
          key: 'key-0',
          model: 'flash',
          state: 'exhausted',
          cause: 'key_rejected',
          until: inAnHour,
        },
        { key: 'key-1', model: 'flash', state: 'cooling_down', cause: 'quota_exhausted' },
      ],
    });
  });

  it('blames neither key nor client for a bug of our own', async () => {
    const { ask, lines } = createSetting(['key-0'], () => [{ fail: new TypeError('a bug') }]);
    await outcomeOf(ask());
    expect(lines).toMatchObject([
      { level: 50, outcome: 'internal_error', why: 'a bug of our own' },
    ]);
  });
});

describe('the log line of an attempt', () => {
  it('says what it parks and until when', async () => {
    const { clock, ask, lines } = createSetting(['key-0'], () => [{ fail: failed.day }]);
    await outcomeOf(ask());
    expect(lines[0]).toEqual({
      level: 40,
      time: expect.any(String),
      msg: 'attempt',
      requestId: 'request-1',
      key: 'key-0',
      model: 'flash',
      outcome: 'quota_exhausted',
      ms: 0,
      parks: 'project_model',
      until: new Date(clock.now() + 3600 * SECOND).toISOString(),
      why: 'day',
    });
  });

  it('says when it was a probe', async () => {
    const { clock, lease, ask, lines } = createSetting(['key-0'], () => [{ fail: failed.day }]);
    lease().report(failed.minute(SECOND));
    clock.advance(SECOND);
    await outcomeOf(ask());
    expect(lines[0]).toMatchObject({ outcome: 'quota_exhausted', isProbe: true });
  });

  it('says how long the request waited, and the status of the provider', async () => {
    const refusal = { ...failed.minute(2 * SECOND), status: 429 };
    const { clock, ask, lines } = createSetting(['key-0'], ({ at }) =>
      at === 0 ? [{ fail: refusal }] : [{ fail: failed.day }],
    );
    await flow(clock, outcomeOf(ask()), 100);
    expect(lines.slice(0, 2)).toMatchObject([
      { outcome: 'rate_limited', status: 429 },
      { outcome: 'quota_exhausted', isProbe: true, waitedMs: 2000 },
    ]);
  });

  it.each([
    ['a spent minute is normal', failed.minute(SECOND), 30],
    ['a 429 without a reason parks the key for the hour', failed.unhinted, 40],
    ['a rejected key needs action', failed.badKey, 50],
  ])('has the level that it deserves: %s', async (_, failure, level) => {
    const { ask, lines } = createSetting(['key-0'], () => [{ fail: failure }], { keyWaitMs: 0 });
    await outcomeOf(ask());
    expect(lines[0]).toMatchObject({ msg: 'attempt', level });
  });
});
