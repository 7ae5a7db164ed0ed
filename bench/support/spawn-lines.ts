import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** A process that says in lines what it has to say. */
export interface LineProcess {
  readonly pid: number;
  /** Rejects when the process has ended without another. */
  nextLine(): Promise<string>;
  signal(name: NodeJS.Signals): void;
  stop(): Promise<void>;
}

/** Whatever happens to the bench, none of them outlives it. */
const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export function spawnLines(node: string, args: readonly string[], env = {}): LineProcess {
  const child = spawn(node, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  });
  running.add(child);
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  return {
    pid: child.pid ?? 0,
    async nextLine() {
      const { value, done } = await lines.next();
      if (done) throw new Error(`ended without a word: ${args.slice(2).join(' ')}`);
      return value;
    },
    signal: (name) => void child.kill(name),
    stop() {
      running.delete(child);
      child.kill('SIGKILL');
      return exited;
    },
  };
}
