import { chmod, copyFile, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import Database from 'libsql';
import { describe, expect, it, vi } from 'vitest';
import { StoreUnavailableError } from '../../src/shared/durable-store.ts';
import { createRedact } from '../../src/shared/redact.ts';
import { createSealer } from '../../src/shared/seal.ts';
import { Secret } from '../../src/shared/secret.ts';
import { ifInstalled } from '../support/installed.ts';
import { startProgram } from '../support/program.ts';
import { REDIS_SERVER, startRedis } from '../support/redis.ts';
import { startRefused, TSX } from '../support/server-process.ts';
import { emptyFolder, openedStore, type StorePlace } from '../support/stores.ts';

const WRITER = resolve(import.meta.dirname, '../support/store-writer.ts');
const SOON = { timeout: 5000, interval: 20 };
const OURS = 'the-master-key-of-this-deployment-1';
const OTHER = 'another-master-key-of-another-deploy';
const KEY = 'AQ.the-key-that-must-not-appear-1234';

/** Kills a process in the middle of its writes, three times. */
async function killWhileItWrites(place: StorePlace): Promise<void> {
  for (const rounds of [3, 10, 17]) {
    const writer = await startProgram(process.execPath, ['--import', TSX, WRITER], {
      cwd: import.meta.dirname,
      environment:
        place.dataDir === undefined
          ? { REDIS_URL: place.redisUrl ?? '' }
          : { DATA_DIR: place.dataDir },
      until: new RegExp(`round ${rounds}\\n`),
    });
    await writer.stop();
    const store = await openedStore(place);
    const documents = await store.read('keys');
    expect(documents).toHaveLength(50);
    expect(new Set(documents.map(({ text }) => text)).size).toBe(1);
    const [one, other] = await store.rows('sums');
    expect(one?.numbers.n).toBeGreaterThan(rounds - 2);
    expect(one?.numbers).toEqual(other?.numbers);
    await store.close();
  }
}

/** A store that was sealed with one master key is not opened with another. */
async function refusesOtherKeys(place: StorePlace, setting: string): Promise<void> {
  const store = await openedStore({ ...place, masterKey: OURS });
  const sealer = createSealer(new Secret('master-key', OURS));
  await store.write('keys', [{ name: 'google-r1', text: sealer.seal(KEY, 'keys', 'google-r1') }]);
  const before = await store.read('keys');
  await expect(openedStore({ ...place, masterKey: OTHER })).rejects.toThrow(
    `MASTER_KEY: does not open the store at ${setting}, which was sealed with another one.`,
  );
  await expect(openedStore(place)).rejects.toThrow('MASTER_KEY: is not set');
  const again = await openedStore({ ...place, masterKey: OURS });
  expect(await again.read('keys')).toEqual(before);
  const [document] = before;
  expect(sealer.open(document?.text ?? '', 'keys', 'google-r1')).toBe(KEY);
}

const secrets = [new Secret('key', KEY), new Secret('master-key', OURS)];

/** Also finds base64, hexadecimal and long parts. */
const expectNoSecretIn = (content: string) => {
  expect(content).toContain('google-r1');
  expect(createRedact(secrets).redact(content) === content).toBe(true);
};

describe('a store in a file', () => {
  it('has each write whole or not at all after its process was killed', async () => {
    await killWhileItWrites({ dataDir: await emptyFolder() });
  }, 60_000);

  it('is not opened with another master key or none, and is as it was', async () => {
    await refusesOtherKeys({ dataDir: await emptyFolder() }, 'DATA_DIR');
  });

  it('stops the start with a sentence, without a stack and without the master key', async () => {
    const dataDir = await emptyFolder();
    await openedStore({ dataDir, masterKey: OURS });
    const { said, code } = await startRefused({ DATA_DIR: dataDir, MASTER_KEY: OTHER });
    expect([said, code]).toEqual([expect.stringMatching(/^MASTER_KEY: does not open/m), 1]);
    expect(said).not.toMatch(/master-key-of| at .*\.ts/);
  }, 60_000);

  it('is not opened when it cannot be written or read, or a newer version wrote it', async () => {
    const folder = await emptyFolder();
    const file = join(folder, 'file');
    await writeFile(file, 'x'.repeat(5000));
    await expect(openedStore({ dataDir: file })).rejects.toThrow(
      /^DATA_DIR: is no folder that can be written \(E\w+\)\.$/,
    );
    await rename(file, join(folder, 'understudy.db'));
    await expect(openedStore({ dataDir: folder })).rejects.toThrow(
      'DATA_DIR: holds an understudy.db that cannot be read.',
    );
    expect((await stat(join(folder, 'understudy.db'))).size).toBe(5000);
    const dataDir = await emptyFolder();
    const store = await openedStore({ dataDir });
    await store.write('meta', [{ name: 'format', text: '2' }]);
    await expect(openedStore({ dataDir })).rejects.toThrow(
      /^DATA_DIR: the store was written by a newer version \(format 2/,
    );
  });

  it('is readable for its owner only, and holds no sealed text in any encoding', async () => {
    const dataDir = join(await emptyFolder(), 'made', 'here');
    const file = join(dataDir, 'understudy.db');
    const first = await openedStore({ dataDir, masterKey: OURS });
    await first.close();
    await chmod(file, 0o644);
    const store = await openedStore({ dataDir, masterKey: OURS });
    const sealer = createSealer(new Secret('master-key', OURS));
    const text = sealer.seal(JSON.stringify({ key: KEY }), 'keys', 'google-r1');
    await store.write('keys', [{ name: 'google-r1', text }]);
    expect((await stat(dataDir)).mode & 0o777).toBe(0o700);
    const names = (await readdir(dataDir)).toSorted();
    expect(names).toEqual(['understudy.db', 'understudy.db-shm', 'understudy.db-wal']);
    for (const name of names) expect((await stat(join(dataDir, name))).mode & 0o777).toBe(0o600);
    const files = await Promise.all(names.map((name) => readFile(join(dataDir, name), 'latin1')));
    expectNoSecretIn(files.join('\n'));
  });

  it('is down while another process holds it, although it can be read, and works again afterwards', async () => {
    const dataDir = await emptyFolder();
    const store = await openedStore({ dataDir });
    await store.write('keys', [{ name: 'one', text: 'x' }]);
    const other = new Database(join(dataDir, 'understudy.db'));
    other.exec('BEGIN IMMEDIATE');
    const write = store.write('keys', [{ name: 'one', text: 'y' }]);
    await expect(write).rejects.toThrow(StoreUnavailableError);
    expect(await store.read('keys')).toMatchObject([{ text: 'x' }]);
    expect(store.isUp()).toBe(false);
    other.exec('ROLLBACK');
    other.close();
    await vi.waitFor(() => expect(store.isUp()).toBe(true), SOON);
    expect(await store.read('keys')).toMatchObject([{ text: 'x' }]);
  });

  it('fails when the file is removed, makes no new one, and follows a backup in its place', async () => {
    const dataDir = await emptyFolder();
    const [file, backup] = [join(dataDir, 'understudy.db'), join(dataDir, 'backup.db')];
    const before = await openedStore({ dataDir });
    await before.write('keys', [{ name: 'one', text: 'of the backup' }]);
    await before.close();
    await copyFile(file, backup);
    const store = await openedStore({ dataDir });
    await store.write('keys', [{ name: 'one', text: 'newer' }]);
    const changed = vi.fn();
    store.watch('keys', changed);
    for (const end of ['', '-wal', '-shm']) await rm(file + end);
    await expect(store.read('keys')).rejects.toThrow(StoreUnavailableError);
    expect(store.isUp()).toBe(false);
    expect(await readdir(dataDir)).toEqual(['backup.db']);
    await rename(backup, file);
    await vi.waitFor(() => expect(changed).toHaveBeenCalled(), SOON);
    expect(await store.read('keys')).toMatchObject([{ text: 'of the backup' }]);
    expect(store.isUp()).toBe(true);
  });
});

ifInstalled(REDIS_SERVER, 'a store in Redis', () => {
  it('has each write whole or not at all after its process was killed', async () => {
    await killWhileItWrites({ redisUrl: (await startRedis()).url });
  }, 60_000);

  it('is not opened with another master key or none, and is as it was', async () => {
    await refusesOtherKeys({ redisUrl: (await startRedis()).url }, 'REDIS_URL');
  });

  it('says later that the master key is another one when Redis is reachable only then', async () => {
    const redis = await startRedis();
    await redis.signal('SIGKILL');
    const wrong = await openedStore({ redisUrl: redis.url, masterKey: OTHER });
    const changed = vi.fn();
    wrong.watch('keys', changed);
    expect(wrong.isUp()).toBe(false);
    await expect(wrong.write('keys', [])).rejects.toThrow(StoreUnavailableError);
    await redis.startAgain();
    const plain = await openedStore({ redisUrl: redis.url, masterKey: OURS });
    await plain.write('keys', [{ name: 'one', text: 'x' }]);
    await vi.waitFor(() => expect(changed).toHaveBeenCalled(), SOON);
    await vi.waitFor(() => expect(wrong.isUp()).toBe(true), SOON);
    const write = wrong.write('keys', [{ name: 'one', text: 'y' }]);
    await expect(write).rejects.toThrow(/MASTER_KEY: does not open the store at REDIS_URL/);
    expect(wrong.fault()).toMatch(/^MASTER_KEY: /);
    expect(wrong.logs.filter(({ level }) => level === 50)).toHaveLength(1);
    expect(await plain.read('keys')).toMatchObject([{ text: 'x' }]);
    expect(plain.fault()).toBe(null);
  });

  it('tells every watcher when it is back, and holds no sealed text in any encoding', async () => {
    const redis = await startRedis();
    const store = await openedStore({ redisUrl: redis.url, masterKey: OURS });
    const changed = vi.fn();
    store.watch('keys', changed);
    await redis.signal('SIGKILL');
    await vi.waitFor(() => expect(store.isUp()).toBe(false), SOON);
    await expect(store.read('keys')).rejects.toThrow(StoreUnavailableError);
    await redis.startAgain();
    await vi.waitFor(() => expect(changed).toHaveBeenCalledOnce(), SOON);
    const sealer = createSealer(new Secret('master-key', OURS));
    const text = sealer.seal(JSON.stringify({ key: KEY }), 'keys', 'google-r1');
    await store.write('keys', [{ name: 'google-r1', text }]);
    const names = await redis.client.keys('*');
    const dumps = await Promise.all(names.map((name) => redis.client.dumpBuffer(name)));
    expectNoSecretIn([...names, ...dumps.map((dump) => dump?.toString('latin1'))].join('\n'));
  });
});
