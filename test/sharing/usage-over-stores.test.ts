import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { ADMIN_TOKEN, AS_ADMIN } from '../support/admin.ts';
import { ifInstalled } from '../support/installed.ts';
import { type Instance, startInstance, startProviders } from '../support/instances.ts';
import { REDIS_SERVER, startRedis } from '../support/redis.ts';

const KEYS = [{ key: 'g-one', service: 'google' }] as const;
const MASTER_KEY = Buffer.alloc(32, 7).toString('base64');

async function startOn(where: Record<string, string>): Promise<() => Promise<Instance>> {
  const { url } = await startProviders(KEYS);
  const environment = { GOOGLE_API_KEY: 'g-one', GOOGLE_BASE_URL: url, ADMIN_TOKEN, ...where };
  return () => startInstance({ environment });
}

const requestsSeenBy = async (instance: Instance) =>
  (await instance.get('/api/usage?by=client', AS_ADMIN)).totals.requests;

ifInstalled(REDIS_SERVER, 'usage over Redis', () => {
  it('is one sum for two instances, also after a restart', async () => {
    const { url } = await startRedis();
    const start = await startOn({ REDIS_URL: url });
    const [one, two] = [await start(), await start()];
    await one.chat('Hi');
    await two.chat('Hi');
    await two.chat('Hi');
    await two.stop();
    expect(await requestsSeenBy(one)).toBe(3);
    await one.stop();
    expect(await requestsSeenBy(await start())).toBe(3);
  });
});

it('an instance with a folder goes on with its sums after a restart', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-usage-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const start = await startOn({ DATA_DIR: folder, MASTER_KEY });
  const one = await start();
  await one.chat('Hi');
  await one.stop();
  const two = await start();
  await two.chat('Hi');
  expect(await requestsSeenBy(two)).toBe(2);
});
