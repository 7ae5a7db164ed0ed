import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, vi } from 'vitest';

export interface Program {
  /** What it said when it was ready, in its groups. */
  readonly ready: RegExpExecArray;
  /** Everything that it has said so far. */
  said(): string;
  /** Resolves when it has ended. */
  stop(): Promise<void>;
}

export interface Starting {
  readonly cwd: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Found in what it says once it is ready. */
  readonly until: RegExp;
}

/** Starts a program and waits until it says that it is ready. Whoever starts it has to stop it. */
export async function startProgram(
  command: string,
  args: readonly string[],
  { cwd, environment = {}, until }: Starting,
): Promise<Program> {
  const child = spawn(command, args, {
    cwd,
    env: { PATH: process.env.PATH ?? '', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = once(child, 'close');
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (text: Buffer) => {
      said += text;
    });
  }
  const stop = async () => {
    child.kill('SIGKILL');
    await ended;
  };
  try {
    const ready = await vi.waitFor(() => foundIn(said, until), { timeout: 20_000, interval: 20 });
    return { ready, said: () => said, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function foundIn(said: string, until: RegExp): RegExpExecArray {
  const found = until.exec(said);
  if (found === null) expect.fail(`not ready yet, and said:\n${said}`);
  return found;
}
