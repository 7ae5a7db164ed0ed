import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findKeys } from '../../src/config/keys.ts';
import { anam } from '../../src/providers/anam/anam.ts';
import { google } from '../../src/providers/gemini/gemini.ts';
import { cleanText, isPlaceholder } from '../../src/shared/key-text.ts';

const PROVIDERS = [google, anam];

const find = (variables: Record<string, string>) =>
  findKeys(new Map(Object.entries(variables)), PROVIDERS);
const ids = (variables: Record<string, string>) => find(variables).keys.map(({ id }) => id);

describe('which variables are keys', () => {
  it('of one project have the billing account that one of them names', () => {
    const environment = {
      GOOGLE_API_KEY: 'one',
      GOOGLE_API_KEY_PROJECT: 'shop',
      GOOGLE_API_KEY_BILLING: 'main',
      GOOGLE_API_KEY_2: 'two',
      GOOGLE_API_KEY_2_PROJECT: 'shop',
      GOOGLE_API_KEY_3: 'three',
    };
    expect(find(environment).keys.map(({ billing }) => billing)).toEqual([
      'main',
      'main',
      undefined,
    ]);
    expect(find({ ...environment, GOOGLE_API_KEY_2_BILLING: 'other' }).faults).toEqual([
      'GOOGLE_API_KEY_2_BILLING: contradicts GOOGLE_API_KEY_BILLING, whose key has the same project.',
    ]);
  });

  it('takes Google first, then Anam, in numeric order, the unnumbered one first', () => {
    const variables = {
      ANAM_API_KEY_7: 'anam-seven',
      GOOGLE_API_KEY_10: 'google-ten',
      GOOGLE_API_KEY_9: 'google-nine',
      ANAM_API_KEY: 'anam-plain',
      GOOGLE_API_KEY: 'google-plain',
      GOOGLE_API_KEY_0: 'google-zero',
    };
    const { keys, warnings, faults } = find(variables);
    expect(keys.map(({ id, provider: service, project }) => [id, service, project])).toEqual([
      ['google', 'google', 'google'],
      ['google-0', 'google', 'google-0'],
      ['google-9', 'google', 'google-9'],
      ['google-10', 'google', 'google-10'],
      ['anam', 'anam', 'anam'],
      ['anam-7', 'anam', 'anam-7'],
    ]);
    expect(keys.map(({ secret }) => secret.reveal()).at(-1)).toBe('anam-seven');
    expect([...warnings, ...faults]).toEqual([]);
  });

  it('tells numbers apart that a floating point number would round to one', () => {
    const [low, high] = ['9007199254740992', '9007199254740993'];
    const both = { [`GOOGLE_API_KEY_${high}`]: 'high', [`GOOGLE_API_KEY_${low}`]: 'low' };
    expect(ids(both)).toEqual([`google-${low}`, `google-${high}`]);
    expect(find(both).faults).toEqual([]);
  });

  it('drops leading zeros, and refuses two variables of one number by both their names', () => {
    expect(ids({ GOOGLE_API_KEY_007: 'seven' })).toEqual(['google-7']);
    expect(find({ GOOGLE_API_KEY_1: 'one', GOOGLE_API_KEY_01: 'other' }).faults).toEqual([
      'GOOGLE_API_KEY_01: has the same number as GOOGLE_API_KEY_1; keep one of the two.',
    ]);
  });

  it.each([
    ['GOOGLE_API_KEY_BACKUP', 'GOOGLE_API_KEY'],
    ['GOOGLE_API_KEYS', 'GOOGLE_API_KEY'],
    ['GOOGLE_API_KEY2', 'GOOGLE_API_KEY'],
    ['GOOGLE_API_KEY_2_PERSONA_ID', 'GOOGLE_API_KEY'],
    ['google_api_key_2', 'GOOGLE_API_KEY'],
    ['GEMINI_API_KEY', 'GOOGLE_API_KEY'],
    ['GOOGLE_GENERATIVE_AI_API_KEY', 'GOOGLE_API_KEY'],
    ['ANAM_KEY', 'ANAM_API_KEY'],
    ['ANAM_2_API_KEY', 'ANAM_API_KEY'],
  ])('does not read %s, and says how to name it', (name, right) => {
    const { keys, warnings } = find({ [name]: 'some-text' });
    expect(keys).toEqual([]);
    expect(warnings).toEqual([
      `${name} is not read: name a key ${right} or ${right}_<number>, and its project ${right}_<number>_PROJECT.`,
    ]);
  });

  it.each([
    'GOOGLE_MAPS_API_KEY',
    'GOOGLE_APPLICATION_CREDENTIALS',
    'ANAM_PERSONA_ID',
    'OPENAI_API_KEY',
    '__proto__',
    'constructor',
  ])('says nothing about %s', (name) => {
    expect(findKeys(new Map([[name, 'some-text']]), PROVIDERS)).toMatchObject({
      keys: [],
      warnings: [],
      faults: [],
    });
  });
});

describe('what a key may hold', () => {
  it.each([
    ['spaces around it', '  abc \r\n', 'abc'],
    ['invisible characters around it', '\ufeff\u200b\u00a0abc\u200d\u2060', 'abc'],
    ['matching quotes', `"abc"`, 'abc'],
    ['quotes within quotes', ` "' abc '" `, 'abc'],
    ['nothing between quotes', `""`, ''],
    ['a quote on one side only', `"abc`, '"abc'],
  ])('cleans %s', (_, raw, text) => {
    expect(cleanText(raw)).toBe(text);
  });

  it.each([
    'your_api_key_here',
    'YOUR-GOOGLE-API-KEY-2',
    'yourApiKey',
    'your key here',
    'paste-your-anam-api-key-here',
    'insert_key',
    'replace_me',
    'changeme',
    'change-this',
    '<key>',
    '[YOUR KEY]',
    '{{ GOOGLE_API_KEY }}',
    `\${VAR}`,
    `\${{ secrets.KEY }}`,
    '$GOOGLE_API_KEY',
    '%KEY%',
    '__GOOGLE_KEY__',
    'xxx',
    'XXXX-XXXX',
    '...',
    '…',
    'AIza...',
    'AIzaSyXXXXXXXX',
    'AQ.xxxx',
    'abc***xyz',
    'todo',
    'undefined',
    'null',
    'api-key',
    'GOOGLE_API_KEY_2',
    'YOUR_API_KEY_GOES_HERE',
    'add-your-key-here',
    'get-your-free-key',
    'your_backup_key',
    'my_api_key',
    'my-key',
    'AIzaSy_your_key_here',
    'AIzaSyYOUR_KEY',
    'sk-your-key',
  ])('ignores the placeholder %s with a warning', (text) => {
    const { keys, warnings, faults } = find({ GOOGLE_API_KEY_3: text });
    expect(keys).toEqual([]);
    expect(faults).toEqual([]);
    expect(warnings).toEqual(['GOOGLE_API_KEY_3 is ignored: it still holds a placeholder.']);
  });

  it('takes nothing for a placeholder that a provider could have issued', () => {
    const characters = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'];
    const random = fc.string({
      unit: fc.constantFrom(...characters),
      minLength: 20,
      maxLength: 60,
    });
    const anyKey = fc.tuple(fc.constantFrom('AIza', 'AQ.', 'your', 'xxx', ''), random);
    fc.assert(
      fc.property(anyKey, ([start, rest]) => {
        expect(isPlaceholder(`${start}${rest}`)).toBe(false);
        expect(find({ ANAM_API_KEY: `${start}${rest}==` }).keys).toHaveLength(1);
      }),
      { numRuns: 500 },
    );
  });

  it.each(['test-key', 'fake_key_1', 'google-key-a', 'k1', '123456', 'a+b/c=='])(
    'takes %s as it is: a stand-in may have issued it',
    (text) => {
      expect(find({ GOOGLE_API_KEY: text }).keys[0]?.secret.reveal()).toBe(text);
    },
  );

  it.each([
    'ab cd',
    'ab\ncd',
    'ab\u0000cd',
    'ab\u200bcd',
    'abéd',
    '“abcd”',
    '"abcd',
    'ab,cd',
    'ab\\cd',
  ])('refuses %j without showing it', (text) => {
    const { keys, faults } = find({ ANAM_API_KEY_2: text });
    expect(keys).toEqual([]);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatch(/^ANAM_API_KEY_2: has a character that no key has/);
    expect(faults[0]).not.toContain(text);
  });
});

describe('a key that is set twice', () => {
  it('counts once, as the first, and names both variables', () => {
    const { keys, warnings } = find({ GOOGLE_API_KEY_5: 'same', GOOGLE_API_KEY_2: 'same' });
    expect(keys.map(({ id }) => id)).toEqual(['google-2']);
    expect(warnings).toEqual([
      'GOOGLE_API_KEY_5 holds the same key as GOOGLE_API_KEY_2, which counts once as GOOGLE_API_KEY_2.',
    ]);
  });

  it('says so when the label or the persona of the second is lost', () => {
    const { keys, warnings } = find({
      ANAM_API_KEY: 'same',
      ANAM_API_KEY_PROJECT: 'shop',
      ANAM_API_KEY_2: 'same',
      ANAM_API_KEY_2_PROJECT: 'office',
      ANAM_API_KEY_2_PERSONA_ID: 'persona',
    });
    expect(keys).toMatchObject([{ id: 'anam', project: 'shop' }]);
    expect(warnings).toEqual([
      'ANAM_API_KEY_2 holds the same key as ANAM_API_KEY, which counts once as ANAM_API_KEY; ANAM_API_KEY_2_PROJECT differs and is ignored; ANAM_API_KEY_2_PERSONA_ID differs and is ignored.',
    ]);
  });

  it('is two keys where the services differ', () => {
    expect(ids({ GOOGLE_API_KEY: 'same', ANAM_API_KEY: 'same' })).toEqual(['google', 'anam']);
  });
});

describe('labels and personas', () => {
  it('belong to the key of their number, however it is written', () => {
    const { keys } = find({
      GOOGLE_API_KEY_1: 'one',
      GOOGLE_API_KEY_01_PROJECT: 'shop',
      GOOGLE_API_KEY_2: 'two',
      GOOGLE_API_KEY_2_PROJECT: 'shop',
      ANAM_API_KEY: 'three',
      ANAM_API_KEY_PERSONA_ID: 'persona',
    });
    expect(keys).toMatchObject([
      { id: 'google-1', project: 'shop' },
      { id: 'google-2', project: 'shop' },
      { id: 'anam', project: 'anam', personaId: 'persona' },
    ]);
    expect(keys[0]).not.toHaveProperty('personaId');
  });

  it('warn when there is no such key', () => {
    const { warnings } = find({ GOOGLE_API_KEY_4_PROJECT: 'shop', ANAM_API_KEY_PERSONA_ID: 'p' });
    expect(warnings).toEqual([
      'GOOGLE_API_KEY_4_PROJECT is ignored: GOOGLE_API_KEY_4 is not set.',
      'ANAM_API_KEY_PERSONA_ID is ignored: ANAM_API_KEY is not set.',
    ]);
  });

  it.each(['google-2', 'google', 'GOOGLE-7', 'anam-1'])(
    'refuses the label %s: a key without a label could be its namesake',
    (label) => {
      const { faults } = find({ GOOGLE_API_KEY: 'one', GOOGLE_API_KEY_PROJECT: label });
      expect(faults).toEqual([
        'GOOGLE_API_KEY_PROJECT: reads like the id of a key; choose another label.',
      ]);
    },
  );

  it.each(['a\u0007b', 'x'.repeat(101)])('refuses the label %j', (label) => {
    const { faults } = find({ GOOGLE_API_KEY: 'one', GOOGLE_API_KEY_PROJECT: label });
    expect(faults).toEqual(['GOOGLE_API_KEY_PROJECT: must be 1 to 100 printable characters.']);
  });

  it('refuses a label that is a key, because labels are shown', () => {
    const { faults } = find({
      GOOGLE_API_KEY: 'one-key',
      GOOGLE_API_KEY_2: 'other-key',
      GOOGLE_API_KEY_2_PROJECT: 'one-key',
    });
    expect(faults).toEqual([
      'GOOGLE_API_KEY_2_PROJECT: holds a key where the label of its project belongs.',
    ]);
  });

  it('are looked at although their key is at fault, so that no fault comes after another', () => {
    const { faults } = find({ GOOGLE_API_KEY: 'one,two', GOOGLE_API_KEY_PROJECT: 'google-2' });
    expect(faults).toEqual([
      expect.stringMatching(/^GOOGLE_API_KEY: has a character/),
      expect.stringMatching(/^GOOGLE_API_KEY_PROJECT: reads like the id/),
    ]);
  });

  it('of a key that is ignored are not looked at', () => {
    const { faults, warnings } = find({
      GOOGLE_API_KEY: 'one-key',
      GOOGLE_API_KEY_PROJECT: 'your-key',
      GOOGLE_API_KEY_2: 'your-key',
      GOOGLE_API_KEY_2_PROJECT: 'google',
    });
    expect([faults, warnings]).toEqual([
      [],
      [expect.stringMatching(/^GOOGLE_API_KEY_2 is ignored/)],
    ]);
  });

  it('refuses a persona id that cannot be one', () => {
    const { faults } = find({ ANAM_API_KEY: 'one', ANAM_API_KEY_PERSONA_ID: 'my persona' });
    expect(faults).toEqual(['ANAM_API_KEY_PERSONA_ID: is not the id of a persona.']);
  });
});

it('warns of a key that looks like one of another provider, and takes it all the same', () => {
  const google = `AIzaSy${'q'.repeat(33)}`;
  const { keys, warnings, faults } = find({
    GOOGLE_API_KEY: google,
    GOOGLE_API_KEY_2: 'looks-like-nothing-known',
    ANAM_API_KEY_3: `AQ.${'q'.repeat(40)}`,
  });
  expect([keys.length, faults]).toEqual([3, []]);
  expect(warnings).toEqual(['ANAM_API_KEY_3 looks like a key of google, not of anam.']);
});

describe('any set of numbered keys', () => {
  const anyNumbers = fc.uniqueArray(fc.bigInt({ min: 0n, max: 10n ** 30n }), { maxLength: 40 });
  const anyZeros = fc.integer({ min: 0, max: 3 });

  it('comes out whole, under the right ids, in numeric order', () => {
    fc.assert(
      fc.property(anyNumbers, anyNumbers, anyZeros, (google, anam, zeros) => {
        const name = (service: string, n: bigint) => `${service}_API_KEY_${'0'.repeat(zeros)}${n}`;
        const texts = new Map([
          ...anam.map((n) => [name('ANAM', n), `a${n}`] as const),
          ...google.map((n) => [name('GOOGLE', n), `g${n}`] as const),
        ]);
        const { keys, warnings, faults } = findKeys(texts, PROVIDERS);
        const sorted = (numbers: bigint[]) => numbers.toSorted((a, b) => (a < b ? -1 : 1));
        expect(keys.map(({ id, secret }) => [id, secret.reveal()])).toEqual([
          ...sorted(google).map((n) => [`google-${n}`, `g${n}`]),
          ...sorted(anam).map((n) => [`anam-${n}`, `a${n}`]),
        ]);
        expect([...warnings, ...faults]).toEqual([]);
      }),
    );
  });
});
