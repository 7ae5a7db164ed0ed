import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { type Child, usageOf } from './child.ts';
import { freePort } from './free-port.ts';
import { onServerCore } from './pin.ts';
import { preload, script } from './script.ts';

/** How a server is started: `node ARGS` with these settings alone and a `PORT`. */
export interface Command {
  readonly args: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Where it answers 200 as soon as it serves. */
  readonly readyPath: string;
}

export const understudy = (environment: Readonly<Record<string, string>>): Command => ({
  args: [new URL('../../dist/main.js', import.meta.url).pathname],
  environment,
  readyPath: '/health',
});

/** @param variant of `reference-server.ts` */
export const reference = (variant: string, upstreamUrl: string): Command => ({
  args: script('support/reference-server.ts', variant, upstreamUrl),
  readyPath: '/',
});

/** Flags with which a server reports what it holds. */
export const REPORTING = preload('support/report-held.ts');

export interface Run {
  readonly node?: string;
  readonly flags?: readonly string[];
  /** On one core alone. Default: where the system puts it. */
  readonly isPinned?: boolean;
}

/** A server as a process of its own; its log goes to a file. */
export interface Server extends Child {
  /** From starting the process to the first answer. */
  readonly startMs: number;
  readLog(): string;
  /** Empties its log. */
  forgetLog(): void;
}

/** Ended and removed when the bench ends before their time. */
const running = new Set<() => void>();
process.once('exit', () => {
  for (const remove of running) remove();
});

/** @returns the server, once it answers */
export async function startServer(command: Command, run: Run = {}): Promise<Server> {
  const { node = process.execPath, flags = [], isPinned = false } = run;
  const folder = mkdtempSync(join(tmpdir(), 'bench-server-'));
  const log = join(folder, 'log');
  const output = openSync(log, 'a');
  const port = await freePort();
  const all = [...flags, ...command.args];
  const [program, args] = isPinned ? onServerCore(node, all) : [node, all];
  const startedAt = performance.now();
  const child = spawn(program, args, {
    cwd: folder,
    env: {
      PATH: process.env.PATH ?? '',
      HOST: '127.0.0.1',
      PORT: String(port),
      ...command.environment,
    },
    stdio: ['ignore', output, output],
  });
  const remove = () => {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  };
  running.add(remove);
  const url = `http://127.0.0.1:${port}`;
  await waitFor('its first answer', log, async () => {
    if (child.exitCode !== null) throw new Error(`it ends:\n${readFileSync(log, 'utf8')}`);
    return answers(url + command.readyPath);
  });
  return {
    ...usageOf(child.pid ?? 0),
    url,
    startMs: performance.now() - startedAt,
    async report() {
      truncateSync(log);
      child.kill('SIGUSR2');
      return JSON.parse(
        await waitFor('a report', log, () => REPORT.exec(readFileSync(log, 'utf8'))?.[0]),
      );
    },
    readLog: () => readFileSync(log, 'utf8'),
    forgetLog: () => truncateSync(log),
    async stop() {
      const ended = once(child, 'exit');
      child.kill('SIGINT');
      await ended;
      running.delete(remove);
      rmSync(folder, { recursive: true });
    },
  };
}

const LOOK_MS = 2;
const LIMIT_MS = 60_000;
const REPORT = /^\{"held":.*$/m;

async function waitFor<T>(
  what: string,
  log: string,
  look: () => Promise<T | null | undefined> | T | null | undefined,
): Promise<T> {
  const giveUpAt = performance.now() + LIMIT_MS;
  while (performance.now() < giveUpAt) {
    const found = await look();
    if (found) return found;
    await setTimeout(LOOK_MS);
  }
  throw new Error(`${what} did not come:\n${readFileSync(log, 'utf8')}`);
}

const answers = (url: string): Promise<boolean> =>
  new Promise((resolve) => {
    const sent = get(url, { agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    sent.once('error', () => resolve(false));
  });
