import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TextReader } from '../../src/providers/gemini/transport.ts';

const HIGH_WATER_MARK = 65_536;
const PENDING = 'pending';

/** A reader, and what it asked of the sender. */
function createReader() {
  const asked: ('pause' | 'resume')[] = [];
  const reader = new TextReader({
    pause: () => asked.push('pause'),
    resume: () => asked.push('resume'),
  });
  const push = (text: string) => reader.push(Buffer.from(text));
  return { reader, asked, push };
}

/** What a reading has come to by now. */
async function look(reading: Promise<unknown>): Promise<unknown> {
  for (let turn = 0; turn < 3; turn += 1) await Promise.resolve();
  return Promise.race([reading, Promise.resolve(PENDING)]);
}

const hasNoSeparators = (text: string) => !/[\u2028\u2029]/.test(text);
const value = (text: string) => ({ done: false, value: text });
const DONE = { done: true, value: undefined };

describe('reading', () => {
  it('hands out what came before, all of it at once', async () => {
    const { reader, push } = createReader();
    push('data: a\n\n');
    push('data: b\n\n');
    expect(await reader.read()).toEqual(value('data: a\n\ndata: b\n\n'));
  });

  it('waits for what comes later', async () => {
    const { reader, push } = createReader();
    const reading = reader.read();
    expect(await look(reading)).toBe(PENDING);
    push('a');
    expect(await reading).toEqual(value('a'));
  });

  it('ends after what is left', async () => {
    const { reader, push } = createReader();
    push('a');
    reader.finish('complete');
    expect(await reader.read()).toEqual(value('a'));
    expect(await reader.read()).toEqual(DONE);
    expect(await reader.read()).toEqual(DONE);
  });

  it('ends at once when nothing ever came', async () => {
    const { reader } = createReader();
    const reading = reader.read();
    reader.finish('complete');
    expect(await reading).toEqual(DONE);
  });

  it('hands out what is left before it fails', async () => {
    const { reader, push } = createReader();
    const error = new Error('cut');
    push('a');
    reader.finish({ error });
    expect(await reader.read()).toEqual(value('a'));
    await expect(reader.read()).rejects.toBe(error);
  });

  it('fails whoever waits', async () => {
    const { reader } = createReader();
    const error = new Error('reset');
    const reading = reader.read();
    reader.finish({ error });
    await expect(reading).rejects.toBe(error);
  });

  it.each([
    ['a cut after the end', 'complete' as const, { error: new Error('late') }, 'complete'],
    ['an end after a cut', { error: new Error('cut') }, 'complete' as const, 'cut'],
  ])('keeps to its first end: %s changes nothing', async (_, first, second, end) => {
    const { reader } = createReader();
    reader.finish(first);
    reader.finish(second);
    if (end === 'complete') expect(await reader.read()).toEqual(DONE);
    else await expect(reader.read()).rejects.toThrow(end);
  });
});

describe('characters', () => {
  it('that are cut in the middle come whole', async () => {
    const bytes = Buffer.from('für 🦉');
    fc.assert(
      fc.property(fc.integer({ min: 0, max: bytes.length }), (cut) => {
        const { reader } = createReader();
        reader.push(bytes.subarray(0, cut));
        reader.push(bytes.subarray(cut));
        expect(reader.tail).toBe('für 🦉');
      }),
    );
  });

  it('that are no UTF-8 fail the reading', async () => {
    const { reader } = createReader();
    reader.push(Buffer.from([0x61, 0xff]));
    await expect(reader.read()).rejects.toThrow(TypeError);
  });

  it('that come after such a failure are ignored', async () => {
    const { reader, push } = createReader();
    push('good');
    reader.push(Buffer.from([0xff]));
    reader.finish('complete');
    expect(await reader.read()).toEqual(value('good'));
    await expect(reader.read()).rejects.toThrow(TypeError);
  });

  it('that end a line only in JavaScript come in the way in which JSON may write them too', () => {
    const { reader, push } = createReader();
    push('"a\u2028b\u2029c"');
    expect(reader.tail).toBe('"a\\u2028b\\u2029c"');
    expect(JSON.parse(reader.tail)).toBe('a\u2028b\u2029c');
  });

  it('arrive as they were sent, however they are cut up', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.string({ unit: 'grapheme', minLength: 1, maxLength: 200 }).filter(hasNoSeparators),
        fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1 }),
        async (text, sizes) => {
          const { reader } = createReader();
          const bytes = Buffer.from(text);
          let at = 0;
          for (let turn = 0; at < bytes.length; turn += 1) {
            const size = sizes[turn % sizes.length] ?? 1;
            reader.push(bytes.subarray(at, at + size));
            at += size;
          }
          reader.finish('complete');
          let heard = '';
          for (let read = await reader.read(); !read.done; read = await reader.read()) {
            heard += read.value;
          }
          expect(heard).toBe(text);
        },
      ),
    );
  });
});

describe('while nobody wants more', () => {
  it('nothing is handed out, and everything as soon as somebody does', async () => {
    const { reader, push } = createReader();
    reader.isWanted = false;
    const reading = reader.read();
    push('a');
    push('b');
    expect(await look(reading)).toBe(PENDING);
    reader.isWanted = true;
    expect(await reading).toEqual(value('ab'));
  });

  it('an end without any text is told all the same', async () => {
    const { reader } = createReader();
    reader.isWanted = false;
    const reading = reader.read();
    reader.finish('complete');
    expect(await reading).toEqual(DONE);
  });
});

describe('the sender', () => {
  it('is asked to pause beyond 64 K characters, not at them, once', () => {
    const { asked, push } = createReader();
    push('x'.repeat(HIGH_WATER_MARK));
    expect(asked).toEqual([]);
    push('x');
    push('x');
    expect(asked).toEqual(['pause']);
  });

  it('may go on when it was read', async () => {
    const { reader, asked, push } = createReader();
    push('x'.repeat(HIGH_WATER_MARK + 1));
    await reader.read();
    expect(asked).toEqual(['pause', 'resume']);
    push('x'.repeat(HIGH_WATER_MARK + 1));
    expect(asked).toEqual(['pause', 'resume', 'pause']);
  });

  it('is not asked to pause by what somebody is already waiting for', async () => {
    const { reader, asked, push } = createReader();
    const reading = reader.read();
    push('x'.repeat(2 * HIGH_WATER_MARK));
    await reading;
    expect(asked).toEqual([]);
  });

  it('is asked to pause while somebody waits who does not want it yet', () => {
    const { reader, asked, push } = createReader();
    reader.isWanted = false;
    void reader.read();
    push('x'.repeat(HIGH_WATER_MARK + 1));
    expect(asked).toEqual(['pause']);
    reader.isWanted = true;
    expect(asked).toEqual(['pause', 'resume']);
  });
});

describe('the tail', () => {
  it.each([
    ['everything before the first end of an event', ['data: a'], 'data: a'],
    ['the last event, when nothing has come since', ['data: a\n\ndata: b\n\n'], '\n\ndata: b\n\n'],
    [
      'so when more than a blank line follows',
      ['data: a\n\nb\r\n\r\n', '\r\n'],
      '\n\nb\r\n\r\n\r\n',
    ],
    ['everything when there is but one event', ['data: a\n\n'], 'data: a\n\n'],
    ['nothing when nothing has come', [], ''],
    ['what came since the last event', ['data: a\n\ndata: b\n\nda', 'ta: c'], '\n\ndata: c'],
    ['so with carriage returns', ['data: a\r\n\r\n{"error"', ':1}'], '\r\n\r\n{"error":1}'],
    ['so when the break itself is cut', ['data: a\r\n', '\r\nb'], '\r\n\r\nb'],
    ['so when the break is cut after its first letter', ['data: a\n', '\nb'], '\n\nb'],
  ])('is %s', (_, pieces, tail) => {
    const { reader, push } = createReader();
    for (const piece of pieces) push(piece);
    expect(reader.tail).toBe(tail);
  });

  it('is there although everything was read', async () => {
    const { reader, push } = createReader();
    push('{"error":1}');
    await reader.read();
    expect(reader.tail).toBe('{"error":1}');
  });

  it('never grows beyond 64 K characters', () => {
    const { reader, push } = createReader();
    for (let turn = 0; turn < 5; turn += 1) push('x'.repeat(HIGH_WATER_MARK));
    push('the end');
    expect(reader.tail.length).toBeLessThanOrEqual(HIGH_WATER_MARK);
    expect(reader.tail.length).toBeGreaterThan(HIGH_WATER_MARK / 2);
    expect(reader.tail.endsWith('xthe end')).toBe(true);
  });
});
