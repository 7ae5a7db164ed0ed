import { describe, expect, it, vi } from 'vitest';
import {
  CHAT,
  google,
  MODEL,
  OF_GOOGLE,
  startMetered,
  startWithFault,
  TWO_KEYS,
} from '../support/metered.ts';
import { scrape } from '../support/scrape.ts';
import { flow } from '../support/start-app.ts';

const HOUR = 3_600_000;

describe('an answered chat', () => {
  it('is counted once in each metric, with its tokens', async () => {
    const app = await startMetered(TWO_KEYS);
    const { usage } = (await app.chat('Hi')).body;
    const { value } = await scrape(app);
    expect(value('understudy_requests_total')).toBe(1);
    expect(value('understudy_requests_total', 'operation="chat"', 'end="answered"')).toBe(1);
    expect(value('understudy_attempts_total', 'outcome="success"')).toBe(1);
    expect(value('understudy_refusals_total')).toBe(0);
    expect(value('understudy_request_failovers_bucket', OF_GOOGLE, 'le="0"')).toBe(1);
    const tokens = (type: string) => [...CHAT, `gen_ai_token_type="${type}"`];
    expect(value('gen_ai_client_token_usage_sum', ...tokens('input'))).toBe(usage.inputTokens);
    expect(value('gen_ai_client_token_usage_sum', ...tokens('output'))).toBe(usage.outputTokens);
  });

  it('has the times to its first and last chunk', async () => {
    const answer = { chunks: 3, firstChunkMs: 300, chunkMs: 200 };
    const app = await startMetered(TWO_KEYS, {
      standin: { answer, keys: [google('text-of-one')] },
    });
    await flow(app.clock, app.chat('Hi'));
    const { value } = await scrape(app);
    const firstMs = value('gen_ai_client_operation_time_to_first_chunk_seconds_sum', ...CHAT);
    const ms = value('gen_ai_client_operation_duration_seconds_sum', ...CHAT);
    expect(firstMs).toBeCloseTo(0.3, 1);
    expect(ms).toBeCloseTo(0.7, 1);
    expect(value('http_server_request_duration_seconds_sum', 'http_route="/api/chat"')).toBeCloseTo(
      0.7,
      1,
    );
  });

  it('is in flight until its last chunk', async () => {
    const answer = { chunks: 2, chunkMs: 1000 };
    const app = await startMetered(TWO_KEYS, {
      standin: { answer, keys: [google('text-of-one')] },
    });
    const inFlight = async () =>
      (await scrape(app)).value('understudy_upstream_calls_in_flight', OF_GOOGLE);
    const chat = app.chat('Hi');
    await vi.waitFor(async () => expect(await inFlight()).toBe(1));
    await flow(app.clock, chat);
    expect(await inFlight()).toBe(0);
  });
});

describe('a failover', () => {
  it('is two attempts of one answered request', async () => {
    const app = await startWithFault({ kind: 'day_spent' });
    await app.chat('Hi');
    const { value } = await scrape(app);
    expect(value('understudy_attempts_total', 'outcome="quota_exhausted"')).toBe(1);
    expect(value('understudy_attempts_total', 'outcome="success"')).toBe(1);
    expect(value('understudy_request_failovers_sum', OF_GOOGLE)).toBe(1);
    expect(value('understudy_upstream_calls_per_served_request_sum', OF_GOOGLE)).toBe(2);
    expect(value('understudy_upstream_calls_per_served_request_count', OF_GOOGLE)).toBe(1);
    const failed = [...CHAT, 'error_type="quota_exhausted"'];
    expect(value('gen_ai_client_operation_duration_seconds_count', ...failed)).toBe(1);
  });

  it('is shown by the states of the keys', async () => {
    const app = await startWithFault({ kind: 'day_spent' });
    await app.chat('Hi');
    app.standin.setFault('text-of-two', { kind: 'bad_key' });
    await app.chat('Hi');
    const { value } = await scrape(app);
    const keys = (state: string) =>
      value('understudy_keys', OF_GOOGLE, `model="${MODEL}"`, `state="${state}"`);
    expect(['available', 'cooling_down', 'exhausted'].map(keys)).toEqual([0, 1, 1]);
  });

  it('has its probe counted', async () => {
    const app = await startWithFault({ kind: 'day_spent' });
    await app.chat('Hi');
    app.clock.advance(HOUR);
    await app.chat('Hi');
    await app.chat('Hi');
    const { value } = await scrape(app);
    expect(value('understudy_probes_total')).toBe(1);
    expect(value('understudy_probes_total', OF_GOOGLE, 'outcome="quota_exhausted"')).toBe(1);
  });
});

describe('a refusal', () => {
  it('is counted with its code, and the metrics say when the first key returns', async () => {
    const app = await startMetered({ GOOGLE_API_KEY: 'text-of-one' });
    app.standin.setFault('text-of-one', { kind: 'day_spent' });
    await app.chat('Hi');
    const { value } = await scrape(app);
    expect(value('understudy_requests_total', 'operation="chat"', 'end="refused"')).toBe(1);
    expect(value('understudy_refusals_total', OF_GOOGLE, 'code="all_keys_exhausted"')).toBe(1);
    expect(value('understudy_upstream_calls_per_served_request_count', OF_GOOGLE)).toBe(0);
    expect(value('understudy_key_return_timestamp_seconds', `model="${MODEL}"`)).toBe(
      (app.clock.now() + HOUR) / 1000,
    );
    app.clock.advance(HOUR);
    expect((await scrape(app)).value('understudy_key_return_timestamp_seconds')).toBeUndefined();
  });

  it('counts the time of a request that waited for a key', async () => {
    const app = await startMetered({ GOOGLE_API_KEY: 'text-of-one' });
    app.standin.setFault('text-of-one', { kind: 'minute_spent', retryAfterMs: 3000 });
    await flow(app.clock, app.chat('Hi'));
    const { value } = await scrape(app);
    expect(value('understudy_wait_seconds_count', OF_GOOGLE)).toBe(1);
    expect(value('understudy_wait_seconds_sum', OF_GOOGLE)).toBeCloseTo(3, 1);
  });
});

describe('an interrupted stream', () => {
  it('is neither answered nor refused', async () => {
    const app = await startWithFault({ kind: 'cut_mid_stream' });
    await app.chat('Hi', { stream: true });
    const { value } = await scrape(app);
    expect(value('understudy_requests_total')).toBe(1);
    expect(value('understudy_requests_total', 'operation="chat"', 'end="broken_off"')).toBe(1);
    expect(value('understudy_attempts_total', 'outcome="upstream_down"')).toBe(1);
  });
});

describe('a session token', () => {
  it('is counted under its own provider and operation', async () => {
    const app = await startMetered({ ANAM_API_KEY: 'text-of-one' });
    await app.post('/api/anam/session-token', {});
    const { value } = await scrape(app);
    const minted = ['service="anam"', 'operation="session_token"', 'end="answered"'];
    expect(value('understudy_requests_total', ...minted)).toBe(1);
    const call = ['gen_ai_provider_name="anam"', 'gen_ai_operation_name="session_token"'];
    expect(value('gen_ai_client_operation_duration_seconds_count', ...call)).toBe(1);
    expect(value('gen_ai_client_operation_time_to_first_chunk_seconds_count')).toBeUndefined();
  });
});
