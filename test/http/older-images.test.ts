import fc from 'fast-check';
import { expect, it } from 'vitest';
import { OlderImages } from '../../src/http/older-images.ts';

const LEFT_OUT = 'data:,left-out';
const MIN_IMAGE = 5000;

/** Texts that look like an image, or like the end of a text. */
const oddText = fc.constantFrom(
  'url',
  'data:',
  '"url":"data:image/png;base64,',
  `data:image/png;base64,${'T'.repeat(6000)}`,
  '\\',
  '\\"',
  '"',
  '{[',
  ']}',
  ':,',
  '😀\u2028',
);
const text = fc.array(oddText, { maxLength: 4 }).map((some) => some.join(''));
const name = fc.constantFrom('text', 'url2', 'urlurl', 'a_longer_name', 'x"url', 'dat', 'data:');
const image = fc
  .tuple(fc.integer({ min: MIN_IMAGE, max: 12_000 }), fc.constantFrom('A', '/', '+/'))
  .map(([length, letters]) => `data:image/png;base64,${letters.repeat(length / letters.length)}`);
const deeper = fc.oneof(
  image.map((url) => ({ output: { url } })),
  image.map((url) => ({ list: ['url', url] })),
  fc.constant({ url: [1, -2.5e3, true, null, {}] }),
);
const part = fc.oneof(
  fc.tuple(name, text).map(([key, value]) => ({ [key]: value })),
  fc.tuple(name, image).map(([key, value]) => ({ [key]: value })),
  fc.tuple(text, image).map(([said, url]) => ({ said, url, after: 'url' })),
  image.map((url) => ({ type: 'file', url, mediaType: 'image/png' })),
  fc.constant({ url: 'data:image/png;base64,AAAA' }),
  deeper,
);
const body = fc.record({
  id: text,
  url: image,
  messages: fc.array(fc.record({ role: text, parts: fc.array(part, { maxLength: 5 }) }), {
    maxLength: 5,
  }),
});

type Body = { messages: { parts: { url?: unknown }[] }[] };

const imagesIn = ({ messages }: Body) =>
  messages
    .flatMap(({ parts }) => parts)
    .filter(({ url }) => typeof url === 'string' && url.length >= MIN_IMAGE);

it('leaves out the oldest images, no more than necessary and nothing else, however the body is cut', () => {
  fc.assert(
    fc.property(
      body,
      fc.boolean(),
      fc.integer({ min: 2000, max: 60_000 }),
      fc.infiniteStream(fc.oneof(fc.integer({ min: 1, max: 20 }), fc.constant(3000))),
      (sent, escapesSlashes, limit, lengths) => {
        const write = (value: unknown) => {
          const json = JSON.stringify(value);
          return Buffer.from(escapesSlashes ? json.replaceAll('/', '\\/') : json);
        };
        const written = write(sent);
        const images = new OlderImages(limit);
        for (let at = 0; at < written.length; ) {
          const { value: length } = lengths.next();
          images.add(written.subarray(at, at + length));
          at += length;
        }
        const { size } = images;
        const kept = images.take();
        expect(kept.length).toBe(size);

        const left = JSON.parse(kept.toString()) as Body;
        const expected = structuredClone(sent) as Body;
        const candidates = imagesIn(expected);
        const count = candidates.length - imagesIn(left).length;
        let last = 0;
        for (const one of candidates.slice(0, count)) {
          last = write(one.url).length - write(LEFT_OUT).length;
          one.url = LEFT_OUT;
        }
        expect(left).toEqual(expected);
        if (size > limit) expect(count).toBe(candidates.length);
        else if (count > 0) expect(size + last).toBeGreaterThan(limit);
      },
    ),
    { numRuns: 200 },
  );
});

it('leaves out an image after a short one that ended with its chunk', () => {
  const images = new OlderImages(MIN_IMAGE);
  const short = ['{"messages":[{"parts":[{"url":"data:', 'image/png;base64,AAAA"'];
  const long = [`},{"url":"data:image/png;base64,${'A'.repeat(MIN_IMAGE)}"`, '}]}]}'];
  for (const piece of [`{"id":"${'x'.repeat(MIN_IMAGE)}",`, ...short, ...long]) {
    images.add(Buffer.from(piece.replace(/^\{"messages/, '"messages')));
  }
  expect(images.take().toString()).toMatch(/AAAA"\},\{"url":"data:,left-out"\}\]\}\]\}$/);
});
