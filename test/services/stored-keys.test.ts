import { expect, it } from 'vitest';
import { readStoredKey, type StoredKey, writeStoredKey } from '../../src/services/stored-keys.ts';
import { createSealer } from '../../src/shared/seal.ts';
import { Secret } from '../../src/shared/secret.ts';

it.each([
  ['an empty text', { text: '', changed: null }, false],
  [
    'no text of its own, and no key of the settings that it changes',
    { text: null, changed: null },
    false,
  ],
  ['a text', { text: 'a-key-12345', changed: null }, true],
  ['a key of the settings that it changes', { text: null, changed: 'digest' }, true],
])('a stored key with %s: whether it is read', (_, texts, isRead) => {
  const sealer = createSealer(new Secret('master-key', 'a-master-key-of-forty-characters-or-so-1'));
  const key: StoredKey = {
    ...{ provider: 'google', labels: {}, use: 'used', ...texts },
    last: { action: 'add', who: null, why: null, at: '2026-11-24T18:00:00.000Z' },
  };
  const read = readStoredKey('google-r1', writeStoredKey('google-r1', key, sealer), sealer);
  expect(read).toEqual(isRead ? key : null);
});
