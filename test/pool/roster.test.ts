import { expect, it } from 'vitest';
import type { ApiKey } from '../../src/shared/api-key.ts';
import { Secret } from '../../src/shared/secret.ts';
import { createPool, failed, google, HOUR } from '../support/pool.ts';

const FLASH = google('flash');

const key = (id: string, project = id, text = `text-of-${id}`): ApiKey => ({
  id,
  provider: 'google',
  project,
  secret: new Secret(id, text),
});

const chosen = ({ pool }: ReturnType<typeof createPool>, times: number) =>
  Array.from({ length: times }, () => pool.lease(FLASH)?.key.id ?? null);

it('a key that is added takes its turn, and each of three keys is used once', () => {
  const all = createPool(['google-1', 'google-2']);
  all.pool.put(key('google-3'));
  expect(chosen(all, 3).sort()).toEqual(['google-1', 'google-2', 'google-3']);
  expect(all.pool.inspection.counts('google').total).toBe(3);
});

it('a key that is removed is never chosen again, whatever its last answers report', () => {
  const all = createPool(['google-1', 'google-2']);
  const inFlight = all.lease();
  expect(all.pool.remove('google-1')?.id).toBe('google-1');
  expect(chosen(all, 2)).toEqual(['google-2', 'google-2']);
  inFlight.report(failed.minute(1000));
  inFlight.prove();
  all.clock.advance(HOUR);
  expect(chosen(all, 2)).toEqual(['google-2', 'google-2']);
  expect(all.pool.remove('google-1')).toBe(null);
});

it('without its last key a provider has none, until one is added', () => {
  const { pool } = createPool(['google-1']);
  pool.remove('google-1');
  expect([pool.hasKeys('google'), pool.lease(FLASH), pool.returnsAt(FLASH)]).toEqual([
    false,
    null,
    null,
  ]);
  pool.put(key('google-9'));
  expect([pool.hasKeys('google'), pool.lease(FLASH)?.key.id]).toEqual([true, 'google-9']);
});

it('a key with another label keeps what is known of it and joins what is known of its project', () => {
  const { pool, lease } = createPool(['google-1', 'google-2@shop']);
  lease().report(failed.badKey);
  lease().report(failed.day);
  pool.put(key('google-1', 'shop'));
  const { scopes } = pool.inspection.facts('google', 'flash', 'google-1') ?? { scopes: [] };
  expect(scopes.map(({ scope }) => scope)).toEqual(['key', 'project_model']);
});

it('a key with another text starts fresh', () => {
  const { pool, lease } = createPool(['google-1']);
  lease().report(failed.badKey);
  expect(pool.lease(FLASH)).toBe(null);
  pool.put(key('google-1', 'google-1', 'another-text'));
  expect(pool.lease(FLASH)?.key.secret.reveal()).toBe('another-text');
  expect(pool.inspection.counts('google')).toMatchObject({ available: 1, exhausted: 0 });
});

it('a key with another text starts fresh for special requests too, whatever the old one still reports', () => {
  const { pool } = createPool(['google-1', 'google-2']);
  const search = { shape: () => ({ features: ['search'], tokens: 1, mostTokens: 4 }) };
  const unexplained = { ...failed.unhinted, kind: 'quota_unexplained' } as const;
  const [one, other] = [pool.lease(FLASH, search), pool.lease(FLASH, search)];
  one?.report(unexplained);
  expect(pool.lease(FLASH, { ...search, except: new Set(['google-2']) })).toBe(null);
  for (const id of ['google-1', 'google-2']) pool.put(key(id, id, `other-text-of-${id}`));
  other?.report(unexplained);
  for (const id of ['google-1', 'google-2']) {
    expect(pool.lease(FLASH, { ...search, except: new Set([id]) })).not.toBe(null);
  }
});

it('answers in flight are counted however often their key changes, until they end', () => {
  const all = createPool(['google-1']);
  const { inspection } = all.pool;
  const counted = () => [inspection.inFlightOf('google-1'), inspection.inFlight('google')];
  const leases = ['one', 'two', 'three'].map((text) => {
    const lease = all.lease();
    all.pool.put(key('google-1', 'google-1', text));
    return lease;
  });
  expect(counted()).toEqual([3, 3]);
  all.pool.remove('google-1');
  expect(counted()).toEqual([3, 3]);
  for (const lease of leases) lease.report({ kind: 'success' });
  expect(counted()).toEqual([0, 0]);
});
