import { describe, expect, it } from 'vitest';
import { createSealer, SealError } from '../../src/shared/seal.ts';
import { Secret } from '../../src/shared/secret.ts';

const sealer = createSealer(new Secret('master-key', 'a-master-key-of-32-characters-or-more'));
const PLACE = ['keys', 'google-r1'];

describe('a sealed text', () => {
  it('opens with the same secret in the same place, and looks different each time', () => {
    const sealed = [sealer.seal('a key: é', ...PLACE), sealer.seal('a key: é', ...PLACE)];
    expect(sealed.map((text) => sealer.open(text, ...PLACE))).toEqual(['a key: é', 'a key: é']);
    expect(new Set(sealed).size).toBe(2);
    expect(sealed.join()).toMatch(/^v1\.[\w-]+,v1\.[\w-]+$/);
  });

  it('opens with no other secret, for no other purpose, in no other place, and not when it was changed', () => {
    const sealed = sealer.seal('a key', ...PLACE);
    const other = createSealer(new Secret('master-key', 'another-master-key-of-32-characters'));
    const same = new Secret('master-key', 'a-master-key-of-32-characters-or-more');
    expect(() => other.open(sealed, ...PLACE)).toThrow(SealError);
    expect(() => createSealer(same, 'session token').open(sealed, ...PLACE)).toThrow(SealError);
    expect(() => sealer.open(sealed, 'keys', 'google-r2')).toThrow(SealError);
    expect(() => sealer.open(sealed, 'keysgoogle-r1')).toThrow(SealError);
    for (const wrong of ['', 'v1.', 'a key', sealed.slice(0, -2), sealed.replace('v1.', 'v2.')]) {
      expect(() => sealer.open(wrong, ...PLACE)).toThrow(SealError);
    }
    const bytes = Buffer.from(sealed.slice(3), 'base64url');
    for (let at = 0; at < bytes.length; at += 1) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(() => sealer.open(`v1.${changed.toString('base64url')}`, ...PLACE)).toThrow(SealError);
    }
  });
});
