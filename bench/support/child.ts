import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

export interface Child {
  /** What the process said it listens on. */
  readonly url: string;
  /** Milliseconds of CPU that it has used so far. */
  cpuMs(): number;
  stop(): Promise<void>;
}

const URL_IN_LINE = /http:\/\/127\.0\.0\.1:\d+/;
/** Of the kernel's process times, on every Linux that Node runs on. */
const MS_PER_TICK = 10;

/** Whatever happens to the bench, none of them outlives it. */
const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Starts a TypeScript file in a process of its own and waits until it prints its address. */
export async function startChild(node: string, args: string[], env = {}): Promise<Child> {
  const child = spawn(node, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  });
  running.add(child);
  const url = await addressOf(child);
  return {
    url,
    cpuMs: () => cpuMsOf(child.pid ?? 0),
    stop: () =>
      new Promise((resolve) => {
        running.delete(child);
        child.once('exit', () => resolve());
        child.kill('SIGKILL');
      }),
  };
}

async function addressOf(child: ChildProcess): Promise<string> {
  if (child.stdout === null) throw new Error('no output to read');
  for await (const line of createInterface(child.stdout)) {
    const [url] = URL_IN_LINE.exec(line) ?? [];
    if (url !== undefined) {
      child.stdout.resume();
      return url;
    }
  }
  throw new Error('the process ended without saying where it listens');
}

/** User and system time, the 14th and 15th field: counted after the name, which may hold spaces. */
function cpuMsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * MS_PER_TICK;
}
