import { expect, it, vi } from 'vitest';
import { Secret } from '../../src/shared/secret.ts';
import { createRedisClient } from '../../src/sharing/redis/redis-client.ts';
import { ifInstalled } from '../support/installed.ts';
import { REDIS_SERVER, startRedis } from '../support/redis.ts';

const RECORD = '1|2|3|{}';

ifInstalled(REDIS_SERVER, 'what Redis passes on', () => {
  it('is what has changed, and that a trial is over, although nothing else has changed', async () => {
    const redis = await startRedis();
    const client = createRedisClient(new Secret('redis', redis.url), Math.random);
    await client.connect();
    const heard: string[] = [];
    const listener = redis.client.duplicate();
    listener.on('message', (_channel, message: string) => heard.push(message));
    await listener.subscribe('news');
    const tell = (teller: string, frees: '0' | '1') =>
      client.tellRecord('record', 'claim', 'index', teller, 'name', RECORD, frees, '60000', 'news');
    await tell('one', '0');
    await tell('one', '0');
    await client.claimTrial('2', 'record', 'claim', 'one', '5000', RECORD);
    // Somebody else's report does not end it.
    await tell('other', '1');
    await tell('one', '1');
    await tell('one', '1');
    await redis.client.publish('news', 'the end');
    await vi.waitUntil(() => heard.includes('the end'));
    expect(heard).toEqual([`one\n0\nname\n${RECORD}`, `one\n1\nname\n${RECORD}`, 'the end']);
    listener.disconnect();
    client.disconnect();
  });
});
