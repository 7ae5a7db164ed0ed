import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { cpuMsOf } from '../support/proc.ts';

const MAIN = new URL('../../dist/main.js', import.meta.url).pathname;
const LISTENING = /"port":(\d+).*"msg":"listening"/;
const LOOK_MS = 20;
const START_LIMIT_MS = 20_000;

/** The built server as a process of its own. */
export interface Server {
  readonly url: string;
  /** Milliseconds of CPU that all its processes have used so far. */
  cpuMs(): number;
  stop(): Promise<void>;
}

/** Whatever happens to the bench, none of them outlives it. */
const running = new Set<() => void>();
process.once('exit', () => {
  for (const kill of running) kill();
});

/** With no other settings than these; its log goes to a file, as nobody could read it fast enough. */
export async function startServer(environment: Readonly<Record<string, string>>): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-server-'));
  const log = join(folder, 'log');
  const output = openSync(log, 'w');
  const child = spawn(process.execPath, [MAIN], {
    cwd: folder,
    env: { PATH: process.env.PATH ?? '', HOST: '127.0.0.1', PORT: '0', ...environment },
    stdio: ['ignore', output, output],
  });
  const { pid = 0 } = child;
  const kill = () => void child.kill('SIGKILL');
  running.add(kill);
  return {
    url: `http://127.0.0.1:${await portIn(log)}`,
    cpuMs: () => cpuMsOf(pid),
    async stop() {
      const ended = once(child, 'exit');
      child.kill('SIGINT');
      await ended;
      running.delete(kill);
      rmSync(folder, { recursive: true });
    },
  };
}

async function portIn(log: string): Promise<string> {
  for (let waitedMs = 0; waitedMs < START_LIMIT_MS; waitedMs += LOOK_MS) {
    const [, port] = LISTENING.exec(readFileSync(log, 'utf8')) ?? [];
    if (port !== undefined) return port;
    await setTimeout(LOOK_MS);
  }
  throw new Error(`the server does not listen:\n${readFileSync(log, 'utf8')}`);
}
