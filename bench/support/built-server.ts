import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { type Child, usageOf } from './child.ts';
import { pinned } from './core.ts';

/** Loaded into it, the server reports what it holds. */
export const REPORTING = [
  '--import',
  import.meta.resolve('tsx'),
  '--import',
  new URL('report-held.ts', import.meta.url).href,
];
const MAIN = new URL('../../dist/main.js', import.meta.url).pathname;
const LISTENING = /"port":(\d+).*"msg":"listening"/;
const REPORT = /^(\{"held":.*)$/m;
const LOOK_MS = 20;
const LIMIT_MS = 20_000;

/** The built server as a process of its own. */
export interface BuiltServer extends Child {
  /** Empties its log. */
  forgetLog(): void;
}

export interface Run {
  readonly node?: string;
  readonly flags?: readonly string[];
  /** It runs on this core alone, where that is possible. */
  readonly core?: number;
}

/** Killed when the bench ends, however it ends. */
const running = new Set<() => void>();
process.once('exit', () => {
  for (const kill of running) kill();
});

/** With no other settings than these; its log goes to a file, as no reader of a pipe would be fast enough. */
export async function startBuiltServer(
  environment: Readonly<Record<string, string>>,
  { node = process.execPath, flags = [], core }: Run = {},
): Promise<BuiltServer> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-server-'));
  const log = join(folder, 'log');
  const output = openSync(log, 'a');
  const child = spawn(...pinned(core, node, [...flags, MAIN]), {
    cwd: folder,
    env: { PATH: process.env.PATH ?? '', HOST: '127.0.0.1', PORT: '0', ...environment },
    stdio: ['ignore', output, output],
  });
  const { pid = 0 } = child;
  const kill = () => void child.kill('SIGKILL');
  running.add(kill);
  return {
    ...usageOf(pid),
    url: `http://127.0.0.1:${await find(LISTENING, log)}`,
    async report() {
      truncateSync(log);
      child.kill('SIGUSR2');
      return JSON.parse(await find(REPORT, log));
    },
    forgetLog: () => truncateSync(log),
    async stop() {
      const ended = once(child, 'exit');
      child.kill('SIGINT');
      await ended;
      running.delete(kill);
      rmSync(folder, { recursive: true });
    },
  };
}

/** @returns the pattern's first group, as soon as it is there */
async function find(pattern: RegExp, log: string): Promise<string> {
  for (let waitedMs = 0; waitedMs < LIMIT_MS; waitedMs += LOOK_MS) {
    const [, found] = pattern.exec(readFileSync(log, 'utf8')) ?? [];
    if (found !== undefined) return found;
    await setTimeout(LOOK_MS);
  }
  throw new Error(`the server says nothing like ${pattern}:\n${readFileSync(log, 'utf8')}`);
}
