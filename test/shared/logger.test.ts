import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { LogOutput } from '../../src/shared/logger.ts';
import { createFakeClock } from '../support/fake-clock.ts';

const { O_RDONLY, O_WRONLY, O_NONBLOCK } = constants;
const PAUSE_MS = 100;
const LINE = `${'x'.repeat(999)}\n`;

const opened: (() => void)[] = [];

afterEach(() => {
  for (const close of opened.splice(0).reverse()) close();
});

/** The output writes into a pipe of 64 KB, which does not block: a write to a full one fails. */
function createPipe() {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-pipe-'));
  opened.push(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'pipe');
  execFileSync('mkfifo', [path]);
  const reader = openSync(path, O_RDONLY | O_NONBLOCK);
  const writer = openSync(path, O_WRONLY | O_NONBLOCK);
  const closeReader = () => closeSync(reader);
  opened.push(closeReader, () => closeSync(writer));
  const clock = createFakeClock();
  let text = '';
  const read = () => {
    const part = Buffer.alloc(1024 * 1024);
    try {
      text += part.toString('utf8', 0, readSync(reader, part));
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error;
    }
    return text;
  };
  return { output: new LogOutput(writer, clock), clock, read, closeReader };
}

it('writes the first line at once, those of the next tenth of a second together, and then has no timer', async () => {
  const { output, clock, read } = createPipe();
  output.write('one\n');
  output.write('two\n');
  output.write('three\n');
  await vi.waitFor(() => expect(read()).toBe('one\n'));
  await output.settled();
  clock.advance(PAUSE_MS - 1);
  await output.settled();
  expect(read()).toBe('one\n');
  clock.advance(1);
  await vi.waitFor(() => expect(read()).toBe('one\ntwo\nthree\n'));
  await output.settled();
  clock.advance(PAUSE_MS);
  expect(clock.pendingTimers()).toBe(0);
});

it('does not wait until there are 32 KB', async () => {
  const { output, read } = createPipe();
  output.write('first\n');
  await output.settled();
  const lines = LINE.repeat(33);
  output.write(lines);
  await vi.waitFor(() => expect(read()).toBe(`first\n${lines}`));
});

it('keeps megabytes for a reader that pauses, and says how many more lines it dropped', async () => {
  const { output, clock, read } = createPipe();
  for (let index = 0; index < 10_000; index += 1) output.write(LINE);
  await vi.waitFor(
    async () => {
      clock.advance(PAUSE_MS);
      await output.settled();
      expect(read()).toContain('dropped');
    },
    { timeout: 10_000, interval: 1 },
  );
  const lines = read().trimEnd().split('\n');
  const { dropped, level } = JSON.parse(lines.at(-1) ?? '');
  expect(level).toBe(40);
  expect(lines.length - 1 + dropped).toBe(10_000);
  expect(dropped).toBeGreaterThan(4000);
  expect(lines.slice(0, -1).every((line) => `${line}\n` === LINE)).toBe(true);
});

it('writes what is left before the process ends, in order, after a write that the pipe took in part', async () => {
  const { output, read } = createPipe();
  const numbers = Array.from({ length: 20_000 }, (_, index) => `${index}`);
  output.write('begin\n');
  await output.settled();
  output.write(`${numbers.slice(0, 13_000).join('\n')}\n`);
  await output.settled();
  output.write(`${numbers.slice(13_000).join('\n')}\n`);
  read();
  read();
  output.flushSync();
  expect(read()).toBe(`begin\n${numbers.join('\n')}\n`);
});

it('drops what a reader that is gone would have got, and goes on', async () => {
  const { output, clock, closeReader } = createPipe();
  opened.splice(opened.indexOf(closeReader), 1);
  closeReader();
  for (let index = 0; index < 10_000; index += 1) output.write(LINE);
  await output.settled();
  clock.advance(PAUSE_MS);
  await output.settled();
  output.write(LINE);
  output.flushSync();
  clock.advance(PAUSE_MS);
  expect(clock.pendingTimers()).toBe(0);
});
