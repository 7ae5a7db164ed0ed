import { expect, it, vi } from 'vitest';
import { keySettings, startProviders } from '../support/instances.ts';
import { startLoad } from '../support/load.ts';
import { isAlive, PATIENCE } from '../support/server-group.ts';
import { chatWith, startServer } from '../support/servers.ts';

const KEYS = [
  { key: 'the-one-key', service: 'google' as const },
  { key: 'the-other-key', service: 'google' as const },
];

it('a worker whose primary is killed ends, although what it has just found cannot be told', {
  timeout: 60_000,
}, async () => {
  const standin = await startProviders(KEYS);
  const { url, group } = await startServer({
    ...keySettings(KEYS),
    WORKERS: '2',
    KEY_COOLDOWN_SECONDS: '1',
    GOOGLE_BASE_URL: standin.url,
  });
  const workers = group.workers();
  standin.setFault('the-one-key', { kind: 'day_spent' });
  for (let call = 0; call < 4; call += 1) await chatWith({ url });
  standin.setFault('the-one-key', { kind: 'slow', ms: 1000 });
  const before = standin.callsOf('the-one-key');
  const load = startLoad({ url, callers: 1, connections: 'fresh' });
  await vi.waitUntil(() => standin.callsOf('the-one-key') > before, PATIENCE);
  // Its success opens the key: that is what it finds when nobody is there any more to be told.
  const trial = load.stop();
  group.primary.kill('SIGKILL');
  expect(await trial).toEqual([]);
  await vi.waitFor(() => expect(workers.filter(isAlive)).toEqual([]), PATIENCE);
});
