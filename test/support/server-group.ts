import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, vi } from 'vitest';
import type { LogLine } from './start-app.ts';

const MAIN = resolve(import.meta.dirname, '../../src/main.ts');
const TSX = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;

export const PATIENCE = { timeout: 20_000, interval: 20 };

/** The server as a process in a process group of its own. */
export interface ServerGroup {
  readonly primary: ChildProcess;
  readonly pid: number;
  /** Where it listens, by what it says; fails where it does not say so. */
  url(): string;
  /** Every log line so far with this text in its message; all, where none is given. */
  logs(message?: string): readonly LogLine[];
  stderr(): string;
  writeDotenv(text: string): Promise<void>;
  /** The exit code of the primary; a signal's name where one ended it. */
  readonly exited: Promise<number | string | null>;
  /** Once nobody writes to its output any more: all of them have ended. */
  readonly allGone: Promise<unknown>;
  /** Kills whoever is left. */
  remove(): Promise<void>;
}

export interface Launch {
  readonly environment: Readonly<Record<string, string>>;
  readonly dotenv?: string;
  readonly args?: readonly string[];
  /** Another program than the server, beside its own arguments. */
  readonly program?: string;
}

/** `main.ts` in an empty directory, with no other settings than these. */
async function launchGroup({
  environment,
  dotenv,
  args = [],
  program = MAIN,
}: Launch): Promise<ServerGroup> {
  const folder = await mkdtemp(join(tmpdir(), 'understudy-group-'));
  const writeDotenv = (text: string) => writeFile(join(folder, '.env'), text);
  if (dotenv !== undefined) await writeDotenv(dotenv);
  const primary = spawn(process.execPath, ['--import', TSX, program, ...args], {
    cwd: folder,
    env: { PATH: process.env.PATH ?? '', HOST: '127.0.0.1', PORT: '0', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const { pid } = primary;
  if (pid === undefined) throw new Error(`${program} could not be started`);
  const said = { stdout: '', stderr: '' };
  primary.stdout.on('data', (text) => {
    said.stdout += text;
  });
  primary.stderr.on('data', (text) => {
    said.stderr += text;
  });
  const exited = once(primary, 'exit').then(([code, signal]) => code ?? signal);
  const allGone = once(primary, 'close');
  const logs = (message = '') => linesIn(said.stdout).filter(({ msg }) => msg.includes(message));
  return {
    primary,
    pid,
    url() {
      const port = logs('listening')[0]?.port;
      expect(port, said.stdout + said.stderr).toBeDefined();
      return `http://127.0.0.1:${port}`;
    },
    logs,
    stderr: () => said.stderr,
    writeDotenv,
    exited,
    allGone,
    async remove() {
      killGroup(pid);
      await allGone;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The same, once all listen. */
export async function startGroup(launch: Launch): Promise<ServerGroup & { readonly at: string }> {
  const group = await launchGroup(launch);
  try {
    const at = await vi.waitFor(() => group.url(), PATIENCE);
    return { ...group, at };
  } catch (error) {
    await group.remove();
    throw error;
  }
}

/** Only whole lines: the last may still be on its way. */
const linesIn = (text: string) =>
  text
    .split('\n')
    .slice(0, -1)
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as LogLine);

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
