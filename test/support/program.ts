import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, vi } from 'vitest';

export interface Program {
  /** What it said when it was ready, in its groups. */
  readonly ready: RegExpExecArray;
  /** Everything that it has said so far. */
  said(): string;
  /** Kills it. Resolves when it has ended. */
  stop(): Promise<void>;
  /** Asks it to end with SIGTERM: the exit code, or a signal's name where one ended it. */
  end(): Promise<number | string>;
}

export interface Starting {
  readonly cwd: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Default: the user of the tests. */
  readonly uid?: number;
  readonly gid?: number;
  /** Found in what it says once it is ready. */
  readonly until: RegExp;
}

/** Starts a program and waits until it says that it is ready. Whoever starts it has to stop it. */
export async function startProgram(
  command: string,
  args: readonly string[],
  { environment = {}, until, ...where }: Starting,
): Promise<Program> {
  const child = spawn(command, args, {
    ...where,
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
  const end = async () => {
    child.kill('SIGTERM');
    const [code, signal] = await ended;
    return code ?? signal;
  };
  try {
    const ready = await vi.waitFor(() => foundIn(said, until), { timeout: 20_000, interval: 20 });
    return { ready, said: () => said, stop, end };
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
