import { describe, expect, it } from 'vitest';
import { type AttemptEnd, type AttemptOptions, attempt } from '../../src/failover/attempt.ts';
import { type Failure, UpstreamError } from '../../src/shared/failure.ts';
import { createPool, failed, google, HOUR } from '../support/pool.ts';

const FIRST_CHUNK_MS = 20_000;
const IDLE_MS = 30_000;
const REQUEST_MS = 60_000;
const FINISHED_MS = 30_000;
const LAST = 'last';
/** When `createPool` begins. */
const NOW = Date.UTC(2026, 10, 24, 18);

/** What upstream does: a text is a chunk, an error is thrown, `silence` says nothing until it is aborted. */
type Step = string | Error | 'silence';

/** An attempt with the only key of a pool against a scripted upstream. */
function createAttempt(steps: readonly Step[], more: Partial<AttemptOptions<string>> = {}) {
  const { pool, clock, lease } = createPool(['google-1']);
  const ends: AttemptEnd[] = [];
  const seen = { isClosed: false };
  const caller = new AbortController();
  const listeners = countListeners(caller.signal);
  const leased = lease();
  const chunks = attempt<string>({
    lease: leased,
    clock,
    signal: caller.signal,
    firstChunkMs: FIRST_CHUNK_MS,
    idleMs: IDLE_MS,
    deadline: clock.now() + REQUEST_MS,
    onProven: () => {},
    onEnd: (end) => ends.push(end),
    call: {
      isLast: (chunk) => chunk === LAST,
      async *open(_lease, signal) {
        try {
          for (const step of steps) {
            if (step instanceof Error) throw step;
            if (step === 'silence') await aborted(signal);
            yield step;
          }
        } finally {
          seen.isClosed = true;
        }
      },
    },
    ...more,
  });
  /** Nothing of the attempt is left: no timer, no listener, no call upstream. */
  const expectNothingLeft = () =>
    expect([clock.pendingTimers(), listeners(), seen.isClosed]).toEqual([0, 0, true]);
  return { pool, clock, caller, chunks, ends, lease: leased, expectNothingLeft };
}

/** Only ever rejects, as an aborted call does. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const giveUp = () => reject(new Error('the call was aborted'));
    if (signal.aborted) giveUp();
    signal.addEventListener('abort', giveUp, { once: true });
  });
}

function countListeners(signal: AbortSignal) {
  let count = 0;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    count += 1;
    add(...args);
  };
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    count -= 1;
    remove(...args);
  };
  return () => count;
}

async function all(chunks: AsyncGenerator<string>): Promise<string[]> {
  const got: string[] = [];
  for await (const chunk of chunks) got.push(chunk);
  return got;
}

const failureOf = (promise: Promise<unknown>): Promise<Failure> =>
  promise.then(
    () => expect.fail('nothing was thrown'),
    (error: unknown) => {
      expect(error).toBeInstanceOf(UpstreamError);
      return (error as UpstreamError).failure;
    },
  );

describe('an attempt that goes well', () => {
  it('hands on every chunk, reports success once, and leaves nothing behind', async () => {
    const { chunks, ends, lease, expectNothingLeft, clock } = createAttempt(['a', 'b', LAST]);
    expect(await all(chunks)).toEqual(['a', 'b', LAST]);
    expect(ends).toEqual([
      {
        lease,
        outcome: { kind: 'success' },
        parked: null,
        startedAt: clock.now(),
        firstMs: 0,
        usage: null,
      },
    ]);
    expectNothingLeft();
  });

  it('does so too when upstream ends without saying which chunk is the last', async () => {
    const { chunks, ends, expectNothingLeft } = createAttempt(['a', 'b']);
    expect(await all(chunks)).toEqual(['a', 'b']);
    expect(ends.map(({ outcome }) => outcome.kind)).toEqual(['success']);
    expectNothingLeft();
  });

  it('does not call upstream before the first chunk is read', async () => {
    const { clock, ends } = createAttempt(['a']);
    expect([clock.pendingTimers(), ends]).toEqual([0, []]);
  });

  it('opens a scope at the first chunk of its probe, not only at the end', async () => {
    const { pool, clock, lease: first } = createAttempt([]);
    first.report(failed.minute(1000));
    clock.advance(1000);
    const probe = pool.lease(google('flash'));
    if (probe === null) throw new Error('no probe was granted');
    const { chunks } = createAttempt(['a', LAST], {
      lease: probe,
      clock,
      deadline: clock.now() + HOUR,
    });
    expect(pool.lease(google('flash'))).toBeNull();
    await chunks.next();
    expect(pool.lease(google('flash'))).not.toBeNull();
    await chunks.return();
  });
});

describe('an attempt that upstream fails', () => {
  it.each(['before', 'after'])(
    '%s its first chunk throws and reports what happened, once',
    async (when) => {
      const before = when === 'before' ? [] : ['a'];
      const error = new UpstreamError(failed.day);
      const { chunks, ends, expectNothingLeft } = createAttempt([...before, error, 'never']);
      await expect(all(chunks)).rejects.toBe(error);
      expect(ends).toMatchObject([
        { outcome: failed.day, parked: { scope: 'project_model', until: expect.any(Number) } },
      ]);
      expectNothingLeft();
    },
  );

  it('reports that an upstream failure has parked nothing', async () => {
    const { chunks, ends } = createAttempt([new UpstreamError(failed.down)]);
    await failureOf(all(chunks));
    expect(ends[0]?.parked).toBeNull();
  });

  it('throws a bug of ours as it is, and blames no key for it', async () => {
    const bug = new TypeError('x is not a function');
    const { chunks, ends, expectNothingLeft, pool } = createAttempt([bug]);
    await expect(all(chunks)).rejects.toBe(bug);
    expect(ends).toMatchObject([
      { outcome: { kind: 'internal_error', message: 'a bug of our own' } },
    ]);
    expect(pool.inspection.counts('google').available).toBe(1);
    expectNothingLeft();
  });

  it('keeps its success when it fails after the last chunk: the answer is complete', async () => {
    const { chunks, ends, expectNothingLeft } = createAttempt([
      'a',
      LAST,
      new UpstreamError(failed.down),
    ]);
    expect(await all(chunks)).toEqual(['a', LAST]);
    expect(ends.map(({ outcome }) => outcome.kind)).toEqual(['success']);
    expectNothingLeft();
  });
});

describe('an attempt without an answer', () => {
  /** Asks for the next chunk, lets this much time pass, and tells whether the asking has ended. */
  async function silentFor(
    { chunks, clock }: ReturnType<typeof createAttempt>,
    ms: number,
  ): Promise<{ next: Promise<unknown>; isOver: boolean }> {
    const next = chunks.next();
    let isOver = false;
    const over = () => {
      isOver = true;
    };
    next.then(over, over);
    await turns();
    clock.advance(ms);
    await turns();
    return { next, isOver };
  }

  const turns = async () => {
    for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
  };

  it('before its first chunk waits one millisecond less than the limit, and no longer', async () => {
    const tried = createAttempt(['silence']);
    const { next, isOver } = await silentFor(tried, FIRST_CHUNK_MS - 1);
    expect(isOver).toBe(false);
    tried.clock.advance(1);
    expect(await failureOf(next)).toMatchObject({ kind: 'upstream_down', timedOut: true });
    expect(tried.ends[0]?.outcome).toMatchObject({ kind: 'upstream_down', timedOut: true });
    tried.expectNothingLeft();
  });

  it("blames no key when the request's own deadline passes first", async () => {
    const short = createAttempt(['silence'], { deadline: NOW + 5000 });
    const { next, isOver } = await silentFor(short, 4999);
    expect(isOver).toBe(false);
    short.clock.advance(1);
    expect(await failureOf(next)).toMatchObject({ kind: 'deadline_exceeded' });
    expect(short.pool.inspection.counts('google').available).toBe(1);
    short.expectNothingLeft();
  });

  it('ends at once when the deadline had passed before it began', async () => {
    const tried = createAttempt(['silence'], { deadline: 0 });
    const { next } = await silentFor(tried, 0);
    expect(await failureOf(next)).toMatchObject({ kind: 'deadline_exceeded' });
    tried.expectNothingLeft();
  });

  it('between two chunks waits as long as the idle limit, after the deadline too', async () => {
    const tried = createAttempt(['a', 'b', 'silence']);
    await tried.chunks.next();
    tried.clock.advance(REQUEST_MS);
    await tried.chunks.next();
    const { next, isOver } = await silentFor(tried, IDLE_MS - 1);
    expect(isOver).toBe(false);
    tried.clock.advance(1);
    expect(await failureOf(next)).toMatchObject({ kind: 'upstream_down', timedOut: true });
    tried.expectNothingLeft();
  });

  it('does not count the time of the reader', async () => {
    const tried = createAttempt(['a', LAST]);
    await tried.chunks.next();
    expect(tried.clock.pendingTimers()).toBe(0);
    tried.clock.advance(HOUR);
    expect(await all(tried.chunks)).toEqual([LAST]);
    expect(tried.ends[0]?.outcome.kind).toBe('success');
  });

  it('after its last chunk waits half a minute for more, then is a success', async () => {
    const tried = createAttempt([LAST, 'silence']);
    await tried.chunks.next();
    const { next, isOver } = await silentFor(tried, FINISHED_MS - 1);
    expect(isOver).toBe(false);
    tried.clock.advance(1);
    expect(await next).toEqual({ done: true, value: undefined });
    expect(tried.ends[0]?.outcome.kind).toBe('success');
    tried.expectNothingLeft();
  });
});

describe('an attempt whose answer is not read', () => {
  it('stops at once when the caller goes, and blames no key', async () => {
    const { chunks, caller, ends, pool, expectNothingLeft } = createAttempt(['a', 'silence']);
    await chunks.next();
    const next = chunks.next();
    caller.abort();
    expect(await failureOf(next)).toMatchObject({ kind: 'client_gone' });
    expect(ends.map(({ outcome }) => outcome.kind)).toEqual(['client_gone']);
    expect(pool.inspection.counts('google').available).toBe(1);
    expectNothingLeft();
  });

  it('does not begin when the caller has gone before', async () => {
    const { chunks, ends, expectNothingLeft } = createAttempt(['silence'], {
      signal: AbortSignal.abort(),
    });
    expect(await failureOf(all(chunks))).toMatchObject({ kind: 'client_gone' });
    expect(ends).toHaveLength(1);
    expectNothingLeft();
  });

  it('is reported once when the reader stops halfway', async () => {
    const { chunks, ends, expectNothingLeft } = createAttempt(['a', 'b', LAST]);
    for await (const _ of chunks) break;
    await chunks.return();
    expect(ends.map(({ outcome }) => outcome.kind)).toEqual(['client_gone']);
    expectNothingLeft();
  });

  it('is a success when the reader stops at the last chunk', async () => {
    const { chunks, ends, expectNothingLeft } = createAttempt(['a', LAST, 'silence']);
    for await (const chunk of chunks) if (chunk === LAST) break;
    expect(ends.map(({ outcome }) => outcome.kind)).toEqual(['success']);
    expectNothingLeft();
  });

  it('is a success when the caller goes after the last chunk', async () => {
    const { chunks, caller, ends, expectNothingLeft } = createAttempt([LAST, 'silence']);
    await chunks.next();
    const next = chunks.next();
    caller.abort();
    expect(await next).toEqual({ done: true, value: undefined });
    expect(ends.map(({ outcome }) => outcome.kind)).toEqual(['success']);
    expectNothingLeft();
  });
});
