import { expect, it, vi } from 'vitest';
import { createFakeClock } from '../../support/fake-clock.ts';
import { ifInstalled } from '../../support/installed.ts';
import { google, MODEL, OF_GOOGLE, startMetered, TWO_KEYS } from '../../support/metered.ts';
import { PROMTOOL, promtool } from '../../support/promtool.ts';
import { scrape } from '../../support/scrape.ts';
import { flow, type Setting } from '../../support/start-app.ts';
import { createTeam } from '../../support/team.ts';

function createService() {
  const clock = createFakeClock(Date.UTC(2026, 10, 24, 18));
  const team = createTeam();
  const start = (standin: Setting['standin'] = {}) =>
    startMetered(TWO_KEYS, { clock, standin, colleagues: team.join() });
  return { clock, team, start };
}

it('requests, attempts and times of all processes are added up, whichever is asked', async () => {
  const { start } = createService();
  const apps = [await start(), await start(), await start()];
  for (const app of [...apps, ...apps.slice(0, 1)]) await app.chat('Hi');
  for (const app of apps) {
    const { value } = await scrape(app);
    expect(value('understudy_requests_total', 'operation="chat"', 'end="answered"')).toBe(4);
    expect(value('understudy_attempts_total', 'outcome="success"')).toBe(4);
    expect(value('gen_ai_client_operation_duration_seconds_count')).toBe(4);
    expect(value('http_server_request_duration_seconds_count', 'http_route="/api/chat"')).toBe(4);
    expect(value('understudy_processes')).toBe(3);
  }
});

it('keys are as many as there are, however many processes count them', async () => {
  const { start } = createService();
  for (const app of [await start(), await start()]) {
    const { value } = await scrape(app);
    expect(value('understudy_keys', OF_GOOGLE, `model="${MODEL}"`, 'state="available"')).toBe(2);
  }
});

it('says of its own keys alone when the first one returns', async () => {
  const { start } = createService();
  const [app, other] = [await start(), await start()];
  for (const key of ['text-of-one', 'text-of-two']) {
    other.standin.setFault(key, { kind: 'day_spent' });
  }
  await other.chat('Hi');
  const returns = 'understudy_key_return_timestamp_seconds';
  expect((await scrape(other)).value(returns, OF_GOOGLE)).toBeGreaterThan(0);
  expect((await scrape(app)).value(returns, OF_GOOGLE)).toBeUndefined();
});

it('calls in flight are those of all processes', async () => {
  const { clock, start } = createService();
  const slow = { answer: { chunks: 2, chunkMs: 1000 }, keys: [google('text-of-one')] };
  const apps = [await start(slow), await start(slow)];
  const chats = apps.map((app) => app.chat('Hi'));
  for (const app of apps) await vi.waitFor(() => expect(app.standin.openRequests()).toBe(1));
  for (const app of apps) {
    expect((await scrape(app)).value('understudy_upstream_calls_in_flight', OF_GOOGLE)).toBe(2);
  }
  await flow(clock, Promise.all(chats));
});

it('leaves out who does not answer, or says what nobody understands', async () => {
  const { team, start } = createService();
  const [app, other] = [await start(), await start()];
  team.join();
  team.join().answer('metrics', () => [{ name: 'understudy_processes', values: 'many' }]);
  await other.chat('Hi');
  const { value } = await scrape(app);
  expect(value('understudy_processes')).toBe(2);
  expect(value('understudy_requests_total')).toBe(1);
});

it('is the same text as without others when none of them answers', async () => {
  const { team, start } = createService();
  const app = await start();
  team.join();
  const alone = await startMetered(TWO_KEYS);
  const { text, value } = await scrape(alone);
  expect(value('understudy_processes')).toBe(1);
  expect((await scrape(app)).text).toBe(text);
});

ifInstalled(PROMTOOL, 'promtool', () => {
  it('finds nothing to complain of in the metrics of two processes that have worked', async () => {
    const { start } = createService();
    const [app, other] = [await start(), await start()];
    await app.chat('Hi');
    await other.get('/wp-login.php');
    for (const key of ['text-of-one', 'text-of-two']) {
      other.standin.setFault(key, { kind: 'day_spent' });
    }
    await other.chat('Hi');
    const { text, value } = await scrape(app);
    expect(value('understudy_requests_total', 'end="refused"')).toBe(1);
    expect(await promtool(['check', 'metrics'], { input: text })).toEqual({ code: 0, said: '' });
  });
});
