import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRedact } from '../../src/shared/redact.ts';
import { Secret } from '../../src/shared/secret.ts';

const redactOf = (...texts: string[]) =>
  createRedact(texts.map((text, index) => new Secret(`google-${index}`, text))).redact;

it('replaces every occurrence of every key', () => {
  const redact = redactOf('first-key', 'second-key');
  expect(redact('first-key and second-key and first-key')).toBe(
    '[redacted] and [redacted] and [redacted]',
  );
});

it('replaces the longer key whole where one begins like another', () => {
  expect(redactOf('abc', 'abcdef')('abcdef abc')).toBe('[redacted] [redacted]');
});

it('takes a key for its text, whatever its characters mean in a pattern', () => {
  const redact = redactOf('a.b*c', '$&(x)', '[^y]+/=');
  expect(redact('a.b*c $&(x) [^y]+/= aXbc')).toBe('[redacted] [redacted] [redacted] aXbc');
});

it('leaves a text without keys as it is', () => {
  const text = 'Gemini answered 429 for google-2: quota exceeded, retry in 12 s.';
  expect(redactOf('some-key')(text)).toBe(text);
  expect(redactOf()(text)).toBe(text);
});

it.each([
  ['an old Google key', `key=${'AIza'}${'x'.repeat(35)}&alt=sse`, 'key=[redacted]&alt=sse'],
  ['a new Google key', `"${'AQ.'}${'x'.repeat(40)}"`, '"[redacted]"'],
  ['a bearer token', `Bearer ${'x'.repeat(20)}== sent`, 'Bearer [redacted] sent'],
  [
    'a bearer token in lower case',
    `authorization: bearer ${'x'.repeat(20)}`,
    'authorization: bearer [redacted]',
  ],
])('hides %s that is not one of ours', (_, text, expected) => {
  expect(redactOf()(text)).toBe(expected);
});

it('lets a short word after "bearer" stand', () => {
  expect(redactOf()('the bearer token is missing')).toBe('the bearer token is missing');
});

/** Without spaces, without the brackets of the placeholder, and without a backslash before what follows. */
const keyOf = (minLength: number) =>
  fc.string({ minLength, maxLength: 50 }).filter((key) => /^[^\s[\]]+(?<!\\)$/.test(key));

it('hides a key wherever it stands', () => {
  const anyKey = keyOf(10);
  fc.assert(
    fc.property(anyKey, fc.string(), fc.string(), (key, before, after) => {
      fc.pre(!'[redacted]'.includes(key));
      expect(redactOf(key)(`${before}${key}${after}`)).toContain('[redacted]');
      expect(redactOf(key)(` ${key} `)).toBe(' [redacted] ');
    }),
  );
});

describe('a part of a key', () => {
  const PART = 12;
  const runsOf = (key: string) =>
    Array.from({ length: key.length - PART + 1 }, (_, at) => key.slice(at, at + PART));
  const keyAndPart = keyOf(PART).chain((key) =>
    fc
      .tuple(fc.nat(key.length - PART), fc.integer({ min: PART, max: key.length }))
      .map(([from, length]) => ({ key, part: key.slice(from, from + length) })),
  );

  it('of twelve letters is hidden, whatever stands around it', () => {
    const property = fc.property(
      keyAndPart,
      fc.array(keyOf(1), { maxLength: 3 }),
      fc.string(),
      fc.string(),
      ({ key, part }, others, before, after) => {
        const said = redactOf(key, ...others)(`${before}${part}${after}`);
        for (const run of runsOf(key)) expect(said).not.toContain(run);
        expect(said).toContain('[redacted]');
      },
    );
    fc.assert(property, { numRuns: 1000 });
  });

  it.each(['hex', 'base64', 'base64url'] as const)('is hidden as %s', (encoding) => {
    const property = fc.property(
      keyAndPart,
      fc.string({ unit: 'grapheme' }),
      fc.string(),
      ({ key, part }, before, after) => {
        const written = Buffer.from(`${before}${part}${after}`).toString(encoding);
        const said = [`=${written}"`, written.slice(1)].map(redactOf(key)).join(' ');
        const words = said
          .split(/[^\w+/-]+/)
          .flatMap((word) => [0, 1, 2, 3].map((at) => word.slice(at)));
        const readable = words.map((word) => Buffer.from(word, encoding).toString('latin1'));
        for (const run of runsOf(key)) expect(readable.join('\n')).not.toContain(run);
      },
    );
    fc.assert(property, { numRuns: 300 });
  });

  it('of eleven letters stands, and so does every other text', () => {
    const parts = keyOf(PART).chain((key) =>
      fc
        .array(fc.tuple(fc.nat(key.length), fc.integer({ min: 1, max: PART - 1 })))
        .map((places) => ({
          key,
          text: places.map(([from, length]) => key.slice(from, from + length)).join(' '),
        })),
    );
    const property = fc.property(parts, ({ key, text }) => {
      expect(redactOf(key)(text)).toBe(text);
    });
    fc.assert(property, { numRuns: 1000 });
  });

  it('is replaced together with the parts that overlap it, and apart from those that do not', () => {
    const redact = redactOf('abcdefghijklmnopqrst', 'mnopqrstuvwxyz0123');
    expect(redact('-abcdefghijklmnopqrstuvwxyz0-')).toBe('-[redacted]-');
    expect(redact('-abcdefghijklabcdefghijklm-')).toBe('-[redacted][redacted]-');
  });
});

describe('a key that somebody wrote in another form', () => {
  const KEY = 'Zk9u+T/W.pRd-LX/dhdC1h+cG==';
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const entities = (write: (code: number) => string) =>
    KEY.replace(/[=+/]/g, (letter) => write(letter.charCodeAt(0)));

  it.each([
    ['for a URL', encodeURIComponent(KEY)],
    [
      'for a URL, in small letters',
      encodeURIComponent(KEY).replace(/%../g, (e) => e.toLowerCase()),
    ],
    ['with slashes as PHP writes them', KEY.replaceAll('/', '\\/')],
    ['with escapes of JSON', KEY.replaceAll('=', '\\u003d').replaceAll('+', '\\u002B')],
    ['for a page', entities((code) => `&#${code};`)],
    ['for a page, in hexadecimal', entities((code) => `&#x${code.toString(16).toUpperCase()};`)],
    ['for a page, with zeros', entities((code) => `&#000${code};`)],
    ['for a URL, twice', encodeURIComponent(encodeURIComponent(KEY))],
    ['with escapes of JSON, twice', KEY.replaceAll('=', String.raw`\\u003d`)],
    ['for a page, in part', KEY.replaceAll('=', '&#x3D;')],
    ['in hexadecimal', Buffer.from(KEY).toString('hex')],
    ['in hexadecimal with capitals', Buffer.from(`,${KEY}.`).toString('hex').toUpperCase()],
    ['in base64', base64(KEY)],
    ['in base64 for a URL', Buffer.from(KEY).toString('base64url')],
  ])('is hidden: %s', (_, written) => {
    const redact = redactOf('another-key-of-ours', KEY);
    const said = redact(`{"error":"bad ?key=${written}&alt=sse"}`);
    expect(said).toContain('[redacted]');
    for (let at = 0; at + 8 <= written.length; at += 1) {
      expect(said).not.toContain(written.slice(at, at + 8));
    }
  });

  it.each(['key:', 'a:', 'ab'])('is hidden in base64 behind "%s"', (before) => {
    const written = base64(`${before}${KEY}`);
    const said = redactOf(KEY)(`Basic ${written}`);
    const secret = written.slice(8, -8);
    for (let at = 0; at + 8 <= secret.length; at += 1) {
      expect(said).not.toContain(secret.slice(at, at + 8));
    }
  });

  it('is hidden in base64 although something else was encoded behind it', () => {
    const said = redactOf(KEY)(`Basic ${base64(`${KEY}:understudy`)}`);
    expect(said).toMatch(/^Basic \[redacted\].{1,20}$/);
  });

  it('costs other texts with escapes nothing', () => {
    const text =
      'a%20b%20c%20d%20e%20f%20g%20h%20i%20j &#8217;s&#8217;s&#8217;s&#8217;s \\n\\n %zz';
    expect(redactOf(KEY)(text)).toBe(text);
    expect(redactOf(KEY)(text.repeat(100))).toBe(text.repeat(100));
  });
});

it('looks a thousand keys up like one', () => {
  const key = (index: number) => `key-${index}-${index * 7919}-many`;
  const redact = redactOf(...Array.from({ length: 1000 }, (_, index) => key(index)));
  expect(redact(`x ${key(999)} y ${key(1000)} z`)).toBe(`x [redacted] y ${key(1000)} z`);
});

it('keeps a line of JSON a line of JSON', () => {
  const line = JSON.stringify({ message: 'refused some-key', headers: ['Bearer some-key'] });
  expect(JSON.parse(redactOf('some-key')(line))).toEqual({
    message: 'refused [redacted]',
    headers: ['Bearer [redacted]'],
  });
  const quoted = JSON.stringify({ message: 'said "some%2dkey"' });
  expect(JSON.parse(redactOf('some-key')(quoted))).toEqual({ message: 'said "[redacted]"' });
});
