import { expect, it } from 'vitest';
import { ADMIN_TOKEN, AS_ADMIN } from '../../support/admin.ts';
import { type DocumentedOperation, readDocument } from '../../support/documented.ts';
import { MODEL } from '../../support/programs.ts';
import { send } from '../../support/send.ts';
import { type App, flow, startApp } from '../../support/start-app.ts';

const { document, operations, misfitsOfAnswer } = readDocument({
  models: [MODEL],
  servesPrograms: false,
  servesAdmin: true,
  allowClientPersona: false,
  chatPerMinute: 0,
  sessionsPerMinute: 0,
});

it('what is told of a spent, a rejected, a parked and a used key is as documented', async () => {
  const app = await afterTrouble();
  const { body, misfits } = await ask(app, '/api/keys');
  expect(body.keys).toMatchObject([
    { cause: 'quota_exhausted', failures: { quota_exhausted: 1 }, history: [{}] },
    { cause: 'key_rejected', state: 'exhausted', lastError: { status: 403 } },
    { cause: 'operator', lastAction: { who: 'Ana' } },
    { cause: null, latency: { answers: 2 } },
    { service: 'anam', calls: 0 },
  ]);
  expect(misfits).toEqual([]);
});

it('what is told of a key that is tried again after its time is as documented', async () => {
  const app = await afterTrouble();
  app.clock.advance(3_600_000);
  const { body, misfits } = await ask(app, '/api/keys', '?limit=1');
  expect(body).toMatchObject({ keys: [{ scopes: [{ state: 'half_open' }] }], next: 'google' });
  expect(misfits).toEqual([]);
});

it('the overview with a refused request and its attempts is as documented', async () => {
  const app = await afterTrouble();
  for (const key of ['google-4', 'anam']) await app.post(`/api/keys/${key}/park`, {}, AS_ADMIN);
  await flow(app.clock, app.chat('Hi'));
  const { body, misfits } = await ask(app, '/api/overview');
  expect(body.latest).toMatchObject([
    { end: 'refused', code: 'all_keys_exhausted' },
    { end: 'answered', attempts: [{ outcome: 'quota_exhausted' }, { outcome: 'success' }] },
    { end: 'answered', attempts: [{ parkedUntil: expect.any(String) }, { tokens: 5 }] },
    { end: 'answered' },
  ]);
  expect(misfits).toEqual([]);
});

it('a page that has not changed is answered with 304, as documented', async () => {
  const app = await startApp({ environment: { ADMIN_TOKEN } });
  for (const path of ['/login', '/dashboard', '/playground']) {
    const { headers } = await app.get(path, AS_ADMIN);
    const known = { ...AS_ADMIN, 'if-modified-since': headers.get('last-modified') ?? '' };
    expect((await app.get(path, known)).status).toBe(304);
    expect(operationOf('get', path).responses).toHaveProperty('304');
  }
});

it('a header that only some refusals of a status have is not promised', () => {
  const headerOf = (method: string, path: string) =>
    operationOf(method, path).responses[401]?.headers['www-authenticate'];
  expect(headerOf('get', '/api/keys')).toEqual({ $ref: '#/components/headers/www-authenticate' });
  expect(document.components.headers['www-authenticate'].required).toBe(true);
  expect(headerOf('post', '/api/keys/{id}/park')).toMatchObject({ required: false });
  expect(headerOf('post', '/api/login')).toBeUndefined();
});

/** The first key's day is spent, the second is rejected, the third is parked by hand, the fourth answers. */
async function afterTrouble(): Promise<App> {
  const app = await startApp({
    environment: {
      ADMIN_TOKEN,
      GOOGLE_API_KEY: 'g-one',
      GOOGLE_API_KEY_2: 'g-two',
      GOOGLE_API_KEY_3: 'g-three',
      GOOGLE_API_KEY_4: 'g-four',
      ANAM_API_KEY: 'a-one',
      KEY_WAIT_SECONDS: '0',
    },
    standin: {
      answer: { chunks: 3, text: 'one two three' },
      keys: [
        { key: 'g-one', service: 'google', limits: { rpd: 1 } },
        { key: 'g-two', service: 'google', fault: { kind: 'leaked' } },
        { key: 'g-three', service: 'google' },
        { key: 'g-four', service: 'google' },
        { key: 'a-one', service: 'anam' },
      ],
    },
  });
  await app.post('/api/keys/google-3/park', { by: 'Ana', seconds: 7200 }, AS_ADMIN);
  for (let turn = 0; turn < 3; turn += 1) await flow(app.clock, app.chat('Hi'));
  return app;
}

async function ask(app: App, path: string, query = '') {
  const answer = await send(app, `${path}${query}`, { headers: AS_ADMIN });
  return {
    body: JSON.parse(answer.text),
    misfits: misfitsOfAnswer(operationOf('get', path), answer),
  };
}

function operationOf(method: string, path: string): DocumentedOperation {
  const found = operations.find((one) => one.method === method && one.path === path);
  if (found === undefined) throw new Error(`${path} is not documented`);
  return found.operation;
}
