import { expect, it } from 'vitest';
import { ADMIN_TOKEN, logIn } from '../support/admin.ts';
import { startApp } from '../support/start-app.ts';

const KEYS = { GOOGLE_API_KEY: 'g-one', GOOGLE_API_KEY_2: 'g-two' };

const startWithBadFirst = (environment = {}) =>
  startApp({
    environment: { ...KEYS, ...environment },
    standin: {
      keys: [
        { key: 'g-one', service: 'google', fault: { kind: 'leaked' } },
        { key: 'g-two', service: 'google' },
      ],
    },
  });

it.each([{}, { stream: true }])(
  'an answer (%o) has the number of attempts, and no key',
  async (form) => {
    const app = await startWithBadFirst();
    const [first, second] = [await app.chat('Hi', form), await app.chat('Hi', form)];
    expect(first.headers.get('understudy-attempts')).toBe('2');
    expect(second.headers.get('understudy-attempts')).toBe('1');
    expect(first.headers.get('understudy-key')).toBeNull();
    expect(first.headers.get('access-control-expose-headers')).toContain('understudy-attempts');
  },
);

it('only an admin gets the id of the key', async () => {
  const app = await startWithBadFirst({ ADMIN_TOKEN });
  const cookie = await logIn(app);
  const asAdmin = await app.post('/api/chat', { message: 'Hi' }, cookie);
  expect(asAdmin.headers.get('understudy-key')).toBe('google-2');
  const made = { cookie: `${cookie.cookie}x` };
  const asOther = await app.post('/api/chat', { message: 'Hi' }, made);
  expect([asOther.status, asOther.headers.get('understudy-key')]).toEqual([200, null]);
});

it('a refusal has no number of attempts', async () => {
  const app = await startApp({
    environment: KEYS,
    standin: { keys: [{ key: 'g-one', service: 'google', fault: { kind: 'leaked' } }] },
  });
  const { status, headers } = await app.chat('Hi');
  expect([status, headers.get('understudy-attempts')]).toEqual([503, null]);
});
