import { cpuMsOf, residentMbOf, type Socket, socketsOf } from './proc.ts';
import { type LineProcess, spawnLines } from './spawn-lines.ts';

/** What a process uses. */
export interface Usage {
  readonly pid: number;
  /** Milliseconds of CPU that it has used so far. */
  cpuMs(): number;
  /** Its memory right now, in MB. */
  residentMb(): number;
  /** What it has open right now. */
  sockets(): readonly Socket[];
}

export interface Child extends Usage {
  /** What the process said it listens on. */
  readonly url: string;
  /** What it says of itself when it is sent SIGUSR2: one line of JSON. */
  report(): Promise<unknown>;
  stop(): Promise<void>;
}

export const usageOf = (pid: number): Usage => ({
  pid,
  cpuMs: () => cpuMsOf(pid),
  residentMb: () => residentMbOf(pid),
  sockets: () => socketsOf(pid),
});

const URL_IN_LINE = /http:\/\/127\.0\.0\.1:\d+/;

/** Starts a TypeScript file in a process of its own and waits until it prints its address. */
export async function startChild(node: string, args: readonly string[], env = {}): Promise<Child> {
  const child = spawnLines(node, args, env);
  return {
    ...usageOf(child.pid),
    url: await addressOf(child),
    async report() {
      child.signal('SIGUSR2');
      return JSON.parse(await child.nextLine());
    },
    stop: () => child.stop(),
  };
}

async function addressOf(child: LineProcess): Promise<string> {
  for (;;) {
    const [url] = URL_IN_LINE.exec(await child.nextLine()) ?? [];
    if (url !== undefined) return url;
  }
}
