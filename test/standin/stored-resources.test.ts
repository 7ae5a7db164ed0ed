import { expect, test } from 'vitest';
import { ask, type Json, read, STREAM, withStandin } from './with-standin.ts';

const NOT_THIS_CACHE = 'CachedContent not found (or permission denied)';
const NOT_THIS_FILE = 'You do not have permission to access the File xyz or it may not exist.';

const FILES_API = 'https://generativelanguage.googleapis.com/v1beta/files';
const using = (...parts: Json[]) => ({ contents: [{ role: 'user', parts }] });
const file = (fileUri: string) => ({ fileData: { mimeType: 'image/png', fileUri } });

const CACHE = { cachedContent: 'cachedContents/abc' };
const FILE = using({ text: 'look' }, file(`${FILES_API}/xyz`));

/** The cache and the file are stored in the project of `owner`. */
const startStored = () =>
  withStandin({
    keys: [
      {
        key: 'owner',
        service: 'google',
        project: 'one',
        resources: ['cachedContents/abc', 'files/xyz'],
      },
      { key: 'sibling', service: 'google', project: 'one' },
      { key: 'other', service: 'google', project: 'two', resources: ['files/other'] },
    ],
  });

const METHODS = ['generateContent', STREAM, 'countTokens'];
const USES: [string, Json, string][] = [
  ['a cached content', CACHE, NOT_THIS_CACHE],
  ['a cached content in snake case', { cached_content: 'cachedContents/abc' }, NOT_THIS_CACHE],
  ['a file', FILE, NOT_THIS_FILE],
  ['a file in snake case', using({ file_data: { file_uri: `${FILES_API}/xyz` } }), NOT_THIS_FILE],
  ['a file at another base URL', using(file('http://localhost:3000/v1/files/xyz')), NOT_THIS_FILE],
  ['a file by its name', using(file('files/xyz')), NOT_THIS_FILE],
  ['a file among its own', using(file('files/other'), file('files/xyz')), NOT_THIS_FILE],
];

test.each(USES)('%s of another project is refused', async (_what, body, message) => {
  const { standin } = await startStored();
  const refused = await read(ask(standin, { key: 'other', body }));
  expect(refused.status).toBe(403);
  expect(refused.body).toEqual({ error: { code: 403, status: 'PERMISSION_DENIED', message } });
});

test.each(METHODS)('%s takes what any key of the project stores, and only that', async (method) => {
  const { standin } = await startStored();
  const statusFor = async (key: string) =>
    (await ask(standin, { key, method, body: { ...FILE, ...CACHE } })).status;
  expect([await statusFor('owner'), await statusFor('sibling')]).toEqual([200, 200]);
  expect(await statusFor('other')).toBe(403);
});

test('tokens of a whole request are counted only where its resources are stored', async () => {
  const { standin } = await startStored();
  const body = { contents: undefined, generateContentRequest: { ...FILE, ...CACHE } };
  const statusFor = async (key: string) =>
    (await ask(standin, { key, method: 'countTokens', body })).status;
  expect([await statusFor('owner'), await statusFor('other')]).toEqual([200, 403]);
});

test('a name that no key stores is refused, even where no key stores anything', async () => {
  const { standin } = await withStandin({ keys: [{ key: 'g1', service: 'google' }] });
  expect((await read(ask(standin, { body: CACHE }))).body.error.message).toBe(NOT_THIS_CACHE);
  expect((await read(ask(standin, { body: FILE }))).body.error.message).toBe(NOT_THIS_FILE);
});

test.each<[string, Json]>([
  ['the address of a video', using(file('https://www.youtube.com/watch?v=abc'))],
  ['the address of a page', using(file('https://example.com/files/xyz'))],
  ['no cached content at all', { cachedContent: '' }],
])('%s is no stored resource', async (_what, body) => {
  const { standin } = await startStored();
  expect((await ask(standin, { key: 'other', body })).status).toBe(200);
});

test('a file of an earlier turn is looked up too', async () => {
  const { standin } = await startStored();
  const later = [
    { role: 'model', parts: [{ text: 'seen' }] },
    { role: 'user', parts: [{ text: 'and?' }] },
  ];
  const contents = [...FILE.contents, ...later];
  expect((await ask(standin, { key: 'other', body: { contents } })).status).toBe(403);
});

test('a refused resource counts against no quota', async () => {
  const { standin } = await withStandin({
    keys: [{ key: 'g1', service: 'google', limits: { rpm: 1 } }],
  });
  expect((await ask(standin, { body: CACHE })).status).toBe(403);
  expect((await ask(standin)).status).toBe(200);
});
