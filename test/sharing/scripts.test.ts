import fc from 'fast-check';
import { expect, it, vi } from 'vitest';
import { Secret } from '../../src/shared/secret.ts';
import { createRedisClient } from '../../src/sharing/redis-connection.ts';
import { writeRecord } from '../../src/sharing/scope-record.ts';
import { mergeRecords } from '../support/fake-record-store.ts';
import { ifInstalled } from '../support/installed.ts';
import { anyKnown, parked } from '../support/known.ts';
import { HOUR } from '../support/pool.ts';
import { REDIS_SERVER, startRedis } from '../support/redis.ts';

async function connect() {
  const redis = await startRedis();
  const client = createRedisClient(new Secret('redis', redis.url), Math.random);
  await client.connect();
  const publish = (record: string, { instance = 'one', endsProbe = '0' } = {}) =>
    client.publishRecord(
      ...['record', 'claim', 'index'],
      ...[instance, 'name', record, endsProbe, '60000', 'changes'],
    );
  const claim = (own: string) => client.claimProbe('2', 'record', 'claim', 'one', '5000', own);
  return { redis, client, publish, claim };
}

ifInstalled(REDIS_SERVER, 'a record in Redis', () => {
  it('is merged as the fake store merges it, and holds no event later than about now', async () => {
    const { client, publish } = await connect();
    const openedAhead = await publish(`${Date.now() + HOUR}|0|0|`);
    expect(Number.parseFloat(openedAhead as string)).toBeLessThanOrEqual(Date.now() + 1000);
    await fc.assert(
      fc.asyncProperty(anyKnown, anyKnown, async (one, other) => {
        const [first, second] = [writeRecord(one, 0), writeRecord(other, 0)];
        await client.del('record');
        expect(await publish(first)).toBe(first);
        expect(await publish(second)).toBe(mergeRecords(first, second));
      }),
    );
    client.disconnect();
  });

  it('is announced when it has changed or a probe has ended, and then only once', async () => {
    const { redis, client, publish, claim } = await connect();
    const record = '1|2|3|{}';
    const messages: string[] = [];
    const subscriber = redis.client.duplicate();
    subscriber.on('message', (_channel, message: string) => messages.push(message));
    await subscriber.subscribe('changes');
    await publish(record);
    await publish(record);
    await claim(record);
    // Another instance's update does not end it.
    await publish(record, { instance: 'other', endsProbe: '1' });
    await publish(record, { endsProbe: '1' });
    await publish(record, { endsProbe: '1' });
    await redis.client.publish('changes', 'the end');
    await vi.waitUntil(() => messages.includes('the end'));
    expect(messages).toEqual([`one\n0\nname\n${record}`, `one\n1\nname\n${record}`, 'the end']);
    subscriber.disconnect();
    client.disconnect();
  });
});

ifInstalled(REDIS_SERVER, 'the claim of a probe', () => {
  it('is refused to an instance that does not know yet that the scope is parked again, or open', async () => {
    const { client, publish, claim } = await connect();
    const now = Date.now();
    const spent = (foundAt: number, until: number) =>
      writeRecord(
        { openedAt: 0, found: { until, finding: { ...parked.found.finding, foundAt } } },
        0,
      );
    const old = spent(now - 9000, now - 5000);
    const again = spent(now - 1000, now + 60_000);
    await publish(again);
    expect(await claim(old)).toEqual([0, expect.closeTo(60_000, -3), again]);
    const opened = writeRecord({ openedAt: now, found: null }, 0);
    await publish(opened);
    expect(await claim(old)).toEqual([0, 0, opened]);
    await client.del('record');
    await publish(old);
    expect(await claim(old)).toEqual([1, 0, old]);
    client.disconnect();
  });
});
