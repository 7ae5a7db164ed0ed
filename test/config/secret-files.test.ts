import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Config, ConfigError, readConfig } from '../../src/config/config.ts';
import { PROVIDERS } from '../../src/server.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'understudy-keys-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const write = (name: string, text: string) => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};
const read = (environment: Record<string, string>) => readConfig(environment, PROVIDERS);
const textsOf = ({ keys }: Pick<Config, 'keys'>) =>
  Object.fromEntries(keys.map(({ id, secret }) => [id, secret.reveal()]));
const faultsOf = (environment: Record<string, string>) => {
  try {
    read(environment);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
};

describe('secrets in files', () => {
  it('are read as if they stood in the variables, without the line break at the end', () => {
    const config = read({
      GOOGLE_API_KEY: 'g-one-variable',
      GOOGLE_API_KEY_2_FILE: write('second', '\ufeffg-two-file\r\n'),
      ADMIN_TOKEN_FILE: write('admin', 'admin-token-0123456789\n'),
      CLIENT_TOKENS_FILE: write('clients', 'client-token-0123456789,client-token-9876543210\n'),
      REDIS_URL_FILE: write('redis', 'redis://:secret-password@redis:6379\n'),
    });
    expect(textsOf(config)).toEqual({ google: 'g-one-variable', 'google-2': 'g-two-file' });
    expect([...config.fileKeys]).toEqual(['google-2']);
    expect(config.adminToken?.reveal()).toBe('admin-token-0123456789');
    expect(config.clientTokens).toHaveLength(2);
    expect(config.redact('secret-password g-two-file-x')).toBe('[redacted] [redacted]-x');
    expect(config.warnings).toEqual([]);
  });

  it('of a mounted folder are named like the variables; what Kubernetes keeps beside them is ignored', () => {
    mkdirSync(join(folder, '..2026_11_30'));
    write('..data', 'x');
    write('README', 'x');
    write('GOOGLE_API_KEY_3', 'g-three');
    write('GOOGLE_API_KEY_3_PROJECT', 'blue');
    const config = read({ KEYS_DIR: folder });
    expect(config.keys).toMatchObject([{ id: 'google-3', project: 'blue' }]);
    expect([...config.fileKeys]).toEqual(['google-3']);
  });

  it('that are bad stop the start, all faults at once and without any content', () => {
    write('GOOGLE_API_KEY_4', 'g four');
    write('GOOGLE_API_KEY_5', 'g-five');
    const missing = join(folder, 'missing');
    const faults = faultsOf({
      GOOGLE_API_KEY: 'g-one',
      GOOGLE_API_KEY_FILE: write('first', 'g-other'),
      GOOGLE_API_KEY_2_FILE: missing,
      GOOGLE_API_KEY_5: 'g-five',
      ANAM_API_KEY_FILE: folder,
      ADMIN_TOKEN_FILE: write('empty', ' \n'),
      KEYS_DIR: folder,
    });
    expect(faults).toEqual([
      'GOOGLE_API_KEY_2_FILE: cannot be read (ENOENT).',
      'ANAM_API_KEY_FILE: is no file.',
      'ADMIN_TOKEN_FILE: is empty.',
      expect.stringMatching(/^KEYS_DIR: GOOGLE_API_KEY_4 has a character that no key has/),
      'GOOGLE_API_KEY_FILE: is set together with GOOGLE_API_KEY; keep one of the two.',
      'KEYS_DIR: GOOGLE_API_KEY_5 is set together with GOOGLE_API_KEY_5; keep one of the two.',
    ]);
    expect(faultsOf({ KEYS_DIR: missing })).toEqual(['KEYS_DIR: cannot be read (ENOENT).']);
  });
});

describe('files of keys that are read again', () => {
  const again = async (config: Config) => {
    const now = await config.readKeysAgain?.();
    return now === undefined ? null : { texts: textsOf(now), faults: now.faults };
  };

  it('give their new keys; one that is missing, empty or broken leaves the last key in place', async () => {
    const second = write('second', 'g-two');
    write('GOOGLE_API_KEY_3', 'g-three');
    write('GOOGLE_API_KEY_4', 'g-four');
    const config = read({
      GOOGLE_API_KEY: 'g-one',
      GOOGLE_API_KEY_2_FILE: second,
      KEYS_DIR: folder,
    });
    expect((await again(config))?.faults).toEqual([]);
    write('second', 'g-two-new');
    write('GOOGLE_API_KEY_3', '');
    rmSync(join(folder, 'GOOGLE_API_KEY_4'));
    write('GOOGLE_API_KEY_5', 'g-five');
    const texts = {
      google: 'g-one',
      'google-2': 'g-two-new',
      'google-3': 'g-three',
      'google-4': 'g-four',
      'google-5': 'g-five',
    };
    expect(await again(config)).toEqual({
      texts,
      faults: [
        'KEYS_DIR: GOOGLE_API_KEY_3 is empty. The key stays as it was.',
        'KEYS_DIR: GOOGLE_API_KEY_4 is gone. The key stays as it was.',
      ],
    });
    write('second', 'g two broken');
    rmSync(join(folder, 'GOOGLE_API_KEY_5'));
    expect((await again(config))?.texts).toEqual(texts);
  });

  it('all stay as they were while a label of theirs is wrong', async () => {
    write('GOOGLE_API_KEY_3', 'g-three');
    const config = read({ KEYS_DIR: folder });
    write('GOOGLE_API_KEY_3', 'g-three-new');
    write('GOOGLE_API_KEY_3_PROJECT', 'google-2');
    expect(await again(config)).toEqual({
      texts: { 'google-3': 'g-three' },
      faults: [
        'GOOGLE_API_KEY_3_PROJECT: reads like the id of a key; choose another label. All keys stay as they were.',
      ],
    });
  });

  it('are not read again where no key comes from a file', () => {
    expect(
      read({ ADMIN_TOKEN_FILE: write('admin', 'admin-token-0123456789') }).readKeysAgain,
    ).toBeNull();
  });
});
