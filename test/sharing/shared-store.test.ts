import { createHash } from 'node:crypto';
import { expect, it, vi } from 'vitest';
import { ADMIN_TOKEN } from '../support/admin.ts';
import { ifInstalled } from '../support/installed.ts';
import { type Instance, startInstance, startProviders } from '../support/instances.ts';
import { REDIS_SERVER, type RedisServer, startRedis } from '../support/redis.ts';

const KEYS = [
  { key: 'a-google-key-of-ours', service: 'google' as const },
  { key: 'the-first-anam-key', service: 'anam' as const, account: { slots: 0 } },
  { key: 'the-second-anam-key', service: 'anam' as const },
];
const GRACE = { name: 'Grace', avatarId: 'avatar-1', voiceId: 'voice-1', llmId: 'llm-1' };
const SOON = { timeout: 5000, interval: 20 };

async function startTwo(environment: Record<string, string> = {}) {
  const redis = await startRedis();
  const standin = await startProviders(KEYS);
  const common = {
    GOOGLE_API_KEY: 'a-google-key-of-ours',
    ANAM_PERSONA_ID: 'persona-1',
    REDIS_URL: redis.url,
    GOOGLE_BASE_URL: standin.url,
    ANAM_BASE_URL: standin.url,
    ...environment,
  };
  const [first, second] = ['the-first-anam-key', 'the-second-anam-key'];
  const one = await startInstance({
    random: () => 0,
    environment: { ...common, ANAM_API_KEY_1: first, ANAM_API_KEY_2: second },
  });
  // The same keys under other names.
  const other = await startInstance({
    environment: { ...common, ANAM_API_KEY_3: second, ANAM_API_KEY_7: first },
  });
  return { redis, standin, one, other };
}

const statusOf = async (instance: Instance) => (await instance.chat('hello')).status;

async function mint(instance: Instance, body: unknown = {}): Promise<string> {
  const answer = await instance.post('/api/anam/session-token', body);
  const { sessionToken } = (await answer.json()) as { sessionToken: string };
  return sessionToken;
}

const start = (instance: Instance, token: string) =>
  instance.post('/api/anam/v1/engine/session', {}, { authorization: `Bearer ${token}` });

ifInstalled(REDIS_SERVER, 'limits by address', () => {
  it('count all instances together', async () => {
    const { one, other } = await startTwo({ RATE_LIMIT_CHAT: '6' });
    for (let call = 0; call < 4; call += 1) expect(await statusOf(one)).toBe(200);
    // The first is counted by this instance alone; its own count of all arrives meanwhile.
    expect(await statusOf(other)).toBe(200);
    await vi.waitFor(async () => expect(await statusOf(other)).toBe(429), SOON);
    await vi.waitFor(async () => expect(await statusOf(one)).toBe(429), SOON);
    const refused = await other.post('/api/chat', { message: 'hello' });
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(50);
  });

  it('count each instance alone while Redis is down, and all together afterwards', async () => {
    const { redis, one, other } = await startTwo({ RATE_LIMIT_CHAT: '3' });
    await redis.signal('SIGKILL');
    const statuses = [];
    for (let call = 0; call < 4; call += 1) statuses.push(await statusOf(one));
    expect(statuses).toEqual([200, 200, 200, 429]);
    expect(await statusOf(other)).toBe(200);
    await redis.startAgain();
    await vi.waitFor(async () => {
      await statusOf(one);
      expect(await redis.client.keys('understudy:limit:chat:*')).toHaveLength(1);
    }, SOON);
  });

  it.each(['admin', 'client'])(
    'count guesses at the %s token on all instances together',
    async (whose) => {
      const { one, other } = await startTwo({ ADMIN_TOKEN, CLIENT_TOKENS: 'a-token-of-a-program' });
      const authorization = `Bearer ${'wrong'.repeat(5)}`;
      const path = whose === 'admin' ? '/api/keys/google/park' : '/v1/chat/completions';
      const guess = (instance: Instance) => instance.post(path, {}, { authorization });
      for (let call = 0; call < 10; call += 1) expect((await guess(one)).status).toBe(401);
      await guess(other);
      await vi.waitFor(async () => expect((await guess(other)).status).toBe(429), SOON);
    },
  );
});

ifInstalled(REDIS_SERVER, 'the address of a client', () => {
  const ADDRESSES = ['203.0.113.9', '2001:db8:1:2::3'];
  const PLAIN_HASHES = ADDRESSES.flatMap((address) =>
    ['md5', 'sha1', 'sha256'].flatMap((algorithm) =>
      (['hex', 'base64url'] as const).map((encoding) =>
        createHash(algorithm).update(address).digest(encoding).slice(0, 12),
      ),
    ),
  );

  it('is in no key and no value of Redis, whichever limit counts it', async () => {
    const limits = { RATE_LIMIT_CHAT: '9', RATE_LIMIT_SESSIONS: '9', TRUST_PROXY: '1' };
    const tokens = { ADMIN_TOKEN, CLIENT_TOKENS: 'a-token-of-a-program' };
    const { redis, one, other } = await startTwo({ ...limits, ...tokens });
    for (const address of ADDRESSES) {
      const from = { 'x-forwarded-for': address, authorization: 'Bearer wrong' };
      for (const instance of [one, other]) {
        await instance.post('/api/chat', { message: 'hello' }, from);
        await instance.post('/api/anam/session-token', {}, from);
        await instance.post('/api/login', { token: 'wrong' }, from);
        await instance.post('/v1/chat/completions', {}, from);
      }
    }
    // Chats, session tokens, logins, and wrong tokens of operators and programs.
    const counted = ADDRESSES.length * 5;
    await vi.waitFor(async () => {
      expect(await redis.client.keys('understudy:limit:*')).toHaveLength(counted);
    }, SOON);
    const everything = await contentOf(redis.client);
    for (const text of ['203.0.113', '2001:db8', ...PLAIN_HASHES]) {
      expect(everything).not.toContain(text);
    }
  });

  async function contentOf(client: RedisServer['client']): Promise<string> {
    const keys = await client.keys('*');
    const values = keys.map(async (key) =>
      (await client.type(key)) === 'zset' ? client.zrange(key, '0', '-1') : client.get(key),
    );
    return [...keys, ...(await Promise.all(values))].join('\n');
  }
});

ifInstalled(REDIS_SERVER, 'a session token', () => {
  it('starts its session on another instance, with another account where its own is full', async () => {
    const { standin, one, other } = await startTwo();
    const answer = await start(other, await mint(one));
    expect(answer.status).toBe(200);
    const starts = standin.calls.filter(({ path }) => path.endsWith('/engine/session'));
    expect(starts.map(({ key }) => key)).toEqual(['the-first-anam-key', 'the-second-anam-key']);
  });

  it('keeps the persona that its caller brought', async () => {
    const { standin, one, other } = await startTwo({ ALLOW_CLIENT_PERSONA: 'true' });
    const answer = await start(other, await mint(one, { personaConfig: GRACE }));
    expect(answer.status).toBe(200);
    const minted = standin.calls.filter(({ path }) => path.endsWith('/session-token'));
    expect(minted).toHaveLength(2);
    expect(minted[1]?.body).toEqual(minted[0]?.body);
  });

  it('starts one session, whichever instance it is brought to', async () => {
    const { one, other } = await startTwo();
    const token = await mint(one);
    const answers = await Promise.all([start(one, token), start(other, token)]);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 401]);
  });

  it('cannot be used by a reader of Redis', async () => {
    const { redis, one } = await startTwo({ ALLOW_CLIENT_PERSONA: 'true' });
    const personaConfig = { ...GRACE, systemPrompt: 'a secret' };
    const token = await mint(one, { personaConfig });
    await vi.waitFor(
      async () => expect(await redis.client.keys('understudy:text:*')).toHaveLength(1),
      SOON,
    );
    const [name = ''] = await redis.client.keys('understudy:text:*');
    const everything = [name, await redis.client.get(name)].join('\n');
    for (const secret of [token, 'Grace', 'a secret', 'the-first-anam-key']) {
      expect(everything).not.toContain(secret);
      expect(everything).not.toContain(Buffer.from(secret).toString('base64').slice(0, -3));
    }
    expect(await redis.client.pttl(name)).toBeGreaterThan(3_500_000);
  });

  it('is passed on as it is when Redis does not answer, without a wait', async () => {
    const { redis, one, other } = await startTwo();
    const token = await mint(one);
    await redis.signal('SIGSTOP');
    const answer = await start(other, token);
    expect(answer.status).toBe(429);
    await redis.signal('SIGCONT');
  });
});
