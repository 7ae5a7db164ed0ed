import { describe, expect, it, vi } from 'vitest';
import {
  type AnswerReader,
  type Caller,
  createFailover,
  type FailoverRequest,
} from '../../src/failover/failover.ts';
import { createHedging } from '../../src/failover/hedging.ts';
import { ServiceError } from '../../src/failover/service-error.ts';
import type { AttemptTrace, EndedTrace } from '../../src/failover/trace.ts';
import { createWaitQueues } from '../../src/failover/wait-queue.ts';
import { google as googleProvider } from '../../src/providers/gemini/gemini.ts';
import {
  type AnswerEnd,
  asyncClient,
  type CallHandler,
  type Client,
} from '../../src/providers/provider.ts';
import { UpstreamError } from '../../src/shared/failure.ts';
import { createPool, failed, google, HOUR } from '../support/pool.ts';

const FIRST_CHUNK_MS = 20_000;
const IDLE_MS = 45_000;
const REQUEST_MS = 60_000;
const FINISHED_MS = 30_000;
const END: AnswerEnd = {
  usage: { inputTokens: 1, outputTokens: 2, totalTokens: 3, cachedTokens: 0, thoughtTokens: 0 },
};

interface PlayedCall {
  readonly handler: CallHandler<string, AnswerEnd>;
  isPaused: boolean;
  isAborted: boolean;
}

/** A streamed request. The test plays the provider, and says whether the reader is ready for more. */
function start(
  more: Partial<FailoverRequest<null, string, AnswerEnd>> = {},
  { pool, clock } = createPool(['google-1']),
) {
  const calls: PlayedCall[] = [];
  /** The keys that were asked, and what the reader got. */
  const heard: unknown[] = [];
  const failures: AttemptTrace[] = [];
  const ended: EndedTrace[] = [];
  const setting = { isReady: true };
  const failover = createFailover({
    tracing: null,
    pool,
    clock,
    random: () => 0.5,
    queues: createWaitQueues(clock, [googleProvider]),
    hedging: createHedging(),
    providers: [googleProvider],
    sinks: [
      {
        attemptFailed: (attempt) => failures.push(attempt),
        requestEnded: (trace) => ended.push(trace),
      },
    ],
    requestTimeoutMs: REQUEST_MS,
    attemptTimeoutMs: FIRST_CHUNK_MS,
    streamIdleMs: IDLE_MS,
    keyWaitMs: 0,
  });
  const client: Client<null, string, AnswerEnd> = {
    call(_question, key, _target, handler) {
      heard.push(key.id);
      const call = { handler, isPaused: false, isAborted: false };
      calls.push(call);
      return {
        pause() {
          call.isPaused = true;
        },
        resume() {
          call.isPaused = false;
        },
        abort() {
          call.isAborted = true;
        },
      };
    },
  };
  const caller = createCaller();
  const reader: AnswerReader<string, AnswerEnd> = {
    onAttempt() {},
    onChunk(chunk) {
      heard.push(chunk);
      return setting.isReady;
    },
    onEnd: (end) => heard.push(end),
    onError: (error) => heard.push(error instanceof ServiceError ? error.code : error),
  };
  const run = failover(
    {
      operation: 'chat',
      targets: [google('flash')],
      caller: more.caller ?? caller,
      question: null,
      clients: new Map([['google', client]]),
      isStreamed: true,
      ...more,
    },
    reader,
  );
  /** It has ended once, and left neither a timer nor anything of the caller's behind. */
  const expectEnd = (kind: string) => {
    expect(ended.map(({ end }) => end?.kind)).toEqual([kind]);
    expect([clock.pendingTimers(), caller.work]).toEqual([0, null]);
  };
  const expectEndAfter = (ms: number, kind: string) => {
    clock.advance(ms - 1);
    expect(ended).toEqual([]);
    clock.advance(1);
    expectEnd(kind);
    expect(calls.at(-1)?.isAborted).toBe(true);
  };
  const available = () => pool.inspection.counts('google').available;
  return {
    ...{ pool, clock, run, calls, heard, failures, ended, setting, caller, reader },
    ...{ expectEnd, expectEndAfter, available },
    /** What the provider says to the latest call. */
    get upstream(): PlayedCall['handler'] {
      const call = calls.at(-1);
      if (call === undefined) throw new Error('the provider was not called');
      return call.handler;
    },
  };
}

const createCaller = (isGone = false): Caller => ({
  requestId: 'request-1',
  client: null,
  isGone,
  work: null,
  trace: null,
});

function hangUp(caller: Caller): void {
  caller.isGone = true;
  caller.work?.callerGone();
}

const TWO_KEYS = () => createPool(['google-1', 'google-2']);

describe('an attempt that goes well', () => {
  it('hands on every chunk and the last end, is reported once, and leaves nothing behind', () => {
    const { upstream, clock, heard, ended, failures, caller, expectEnd } = start();
    const startedAt = clock.now();
    upstream.onChunk('a');
    upstream.onFinish({ usage: null });
    upstream.onChunk('b');
    clock.advance(500);
    upstream.onEnd(END);
    expect(heard).toEqual(['google-1', 'a', 'b', END]);
    expectEnd('answered');
    expect(failures).toEqual([]);
    expect(ended[0]).toBe(caller.trace);
    expect(caller.trace).toMatchObject({ ms: 500, waitedMs: 0 });
    expect(caller.trace?.attempts).toEqual([
      {
        key: 'google-1',
        target: google('flash'),
        responseModel: null,
        otherModel: null,
        outcome: { kind: 'success' },
        isProbe: false,
        isHedge: false,
        parked: null,
        startedAt,
        ms: 500,
        firstMs: 0,
        usage: END.usage,
        span: null,
      },
    ]);
  });

  it('opens a scope at the first chunk of its probe, not only at the end', () => {
    const pooled = createPool(['google-1']);
    pooled.lease().report(failed.minute(1000));
    pooled.clock.advance(1000);
    const { upstream, pool } = start({}, pooled);
    expect(pool.lease(google('flash'))).toBeNull();
    upstream.onChunk('a');
    expect(pool.lease(google('flash'))).not.toBeNull();
  });
});

describe('an attempt that fails', () => {
  it('before its first chunk leaves the request to the next key, and is reported once', () => {
    const tried = start({}, TWO_KEYS());
    tried.upstream.onFailure(new UpstreamError(failed.day));
    tried.upstream.onChunk('a');
    tried.upstream.onEnd(END);
    expect(tried.heard).toEqual(['google-1', 'google-2', 'a', END]);
    const parked = { scope: 'project_model', until: expect.any(Number) };
    expect(tried.failures).toMatchObject([{ key: 'google-1', outcome: failed.day, parked }]);
    expect(tried.ended[0]?.attempts).toHaveLength(2);
    tried.expectEnd('answered');
  });

  it('after its first chunk ends the request, whatever other key there is', () => {
    const tried = start({}, TWO_KEYS());
    tried.upstream.onChunk('a');
    tried.upstream.onFailure(new UpstreamError(failed.day));
    expect(tried.heard).toEqual(['google-1', 'a', 'upstream_failed']);
    expect(tried.failures.map(({ outcome }) => outcome)).toEqual([failed.day]);
    tried.expectEnd('broken_off');
  });

  it('after a chunk of an answer that is not streamed leaves the request to the next key', () => {
    const tried = start({ isStreamed: false }, TWO_KEYS());
    tried.upstream.onChunk('a');
    tried.upstream.onFailure(new UpstreamError(failed.day));
    tried.upstream.onEnd(END);
    expect(tried.heard).toEqual(['google-1', 'a', 'google-2', END]);
    tried.expectEnd('answered');
  });

  it('parks nothing when it is the fault of upstream', () => {
    const { upstream, failures, available } = start();
    upstream.onFailure(new UpstreamError(failed.down));
    expect(failures[0]?.parked).toBeNull();
    expect(available()).toBe(1);
  });

  it('by a bug of ours hands the bug on as it is, and blames no key for it', () => {
    const explain = vi.fn((error: UpstreamError) => error);
    const tried = start({ explain }, TWO_KEYS());
    const bug = new TypeError('x is not a function');
    tried.upstream.onFailure(bug);
    expect(tried.heard).toEqual(['google-1', bug]);
    expect(tried.failures).toMatchObject([
      { outcome: { kind: 'internal_error', message: 'a bug of our own' } },
    ]);
    expect(tried.available()).toBe(2);
    expect(explain).not.toHaveBeenCalled();
    tried.expectEnd('internal_error');
  });
});

it('a bug in what becomes of a good answer reaches the caller, and blames no key', async () => {
  const bug = new TypeError('x is not a function');
  const clients = new Map([['google', asyncClient(async () => ({ usage: null }))]] as const);
  const { reader, heard, available, expectEnd } = start({ clients });
  reader.onEnd = () => {
    throw bug;
  };
  await vi.waitFor(() => expect(heard).toEqual([bug]));
  expect(available()).toBe(1);
  expectEnd('answered');
});

describe('an attempt without an answer', () => {
  it.each([
    ['the limit of an attempt', {}, FIRST_CHUNK_MS],
    ['its own limit where that is shorter', { attemptTimeoutMs: 5000 }, 5000],
    ['most of the time of a request whose answer comes whole', { comesWhole: true }, 45_000],
  ])('waits for %s, and not a millisecond longer', (_, more, ms) => {
    const tried = start(more);
    tried.expectEndAfter(ms, 'refused');
    expect(tried.heard).toEqual(['google-1', 'upstream_timeout']);
    expect(tried.failures).toMatchObject([
      { ms, firstMs: null, outcome: { kind: 'upstream_down', timedOut: true } },
    ]);
  });

  it("blames no key when the request's own deadline passes first", () => {
    const tried = start({ requestTimeoutMs: 5000 }, TWO_KEYS());
    tried.expectEndAfter(5000, 'refused');
    expect(tried.heard).toEqual(['google-1', 'upstream_timeout']);
    expect(tried.failures[0]?.outcome.kind).toBe('deadline_exceeded');
    expect(tried.available()).toBe(2);
  });

  it('is not begun after the deadline', () => {
    const { heard, expectEnd } = start({ requestTimeoutMs: 0 });
    expect(heard).toEqual(['all_keys_exhausted']);
    expectEnd('refused');
  });

  it('between two chunks waits as long as the idle limit, after the deadline too', () => {
    const tried = start();
    for (const chunk of ['a', 'b', 'c', 'd']) {
      tried.upstream.onChunk(chunk);
      tried.clock.advance(IDLE_MS - 1);
    }
    tried.upstream.onChunk('e');
    tried.expectEndAfter(IDLE_MS, 'broken_off');
    expect(tried.heard.at(-1)).toBe('upstream_timeout');
    expect(tried.failures[0]?.outcome).toMatchObject({ kind: 'upstream_down', timedOut: true });
  });

  it('after its finish waits half a minute for more, then is a success', () => {
    const tried = start();
    tried.upstream.onChunk('a');
    tried.upstream.onFinish(END);
    tried.expectEndAfter(FINISHED_MS, 'answered');
    expect(tried.heard).toEqual(['google-1', 'a', END]);
    expect(tried.failures).toEqual([]);
  });
});

describe('the time of a slow reader', () => {
  it.each([
    ['the answer goes on', false, IDLE_MS, 'broken_off'],
    ['the answer has finished', true, FINISHED_MS, 'answered'],
  ])('does not count when %s', (_, isFinished, limitMs, end) => {
    const tried = start();
    tried.setting.isReady = false;
    tried.upstream.onChunk('a');
    if (isFinished) tried.upstream.onFinish(END);
    expect(tried.calls[0]?.isPaused).toBe(true);
    tried.clock.advance(HOUR);
    tried.run.resume();
    expect(tried.calls[0]?.isPaused).toBe(false);
    tried.expectEndAfter(limitMs, end);
  });

  it('does not keep back the end of an answer that has come already', () => {
    const { setting, upstream, heard, expectEnd } = start();
    setting.isReady = false;
    upstream.onChunk('a');
    upstream.onEnd(END);
    expect(heard).toEqual(['google-1', 'a', END]);
    expectEnd('answered');
  });
});

describe('an attempt whose answer is not read', () => {
  it.each(['before', 'after'])('stops at once when the caller goes %s its first chunk', (when) => {
    const tried = start({}, TWO_KEYS());
    if (when === 'after') tried.upstream.onChunk('a');
    hangUp(tried.caller);
    expect(tried.calls.map(({ isAborted }) => isAborted)).toEqual([true]);
    expect(tried.heard.at(-1)).toBe('client_gone');
    expect(tried.failures.map(({ outcome }) => outcome.kind)).toEqual(['client_gone']);
    expect(tried.available()).toBe(2);
    tried.expectEnd('client_gone');
  });

  it('does not begin when the caller has gone before', () => {
    const { heard, calls, expectEnd } = start({ caller: createCaller(true) });
    expect([heard, calls]).toEqual([['client_gone'], []]);
    expectEnd('client_gone');
  });

  it('is a success when the caller goes after its finish', () => {
    const tried = start();
    tried.upstream.onChunk('a');
    tried.upstream.onFinish(END);
    hangUp(tried.caller);
    expect(tried.calls[0]?.isAborted).toBe(true);
    expect(tried.failures).toEqual([]);
    tried.expectEnd('answered');
  });

  it('is reported once, and blames no key, when the reader stops it halfway', () => {
    const tried = start();
    tried.upstream.onChunk('a');
    tried.run.stop(new ServiceError('upstream_failed', 'The answer is too long.'));
    expect(tried.calls[0]?.isAborted).toBe(true);
    expect(tried.heard).toEqual(['google-1', 'a', 'upstream_failed']);
    expect(tried.failures.map(({ outcome }) => outcome.kind)).toEqual(['client_gone']);
    expect(tried.available()).toBe(1);
    tried.expectEnd('broken_off');
  });
});
