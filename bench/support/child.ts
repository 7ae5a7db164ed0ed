import { cpuMsOf, residentMbOf, type Socket, socketsOf } from './proc.ts';
import { type LineProcess, spawnLines } from './spawn-lines.ts';

export interface Child {
  /** What the process said it listens on. */
  readonly url: string;
  /** Milliseconds of CPU that it has used so far. */
  cpuMs(): number;
  /** Its memory right now, in MB. */
  residentMb(): number;
  /** What it has open right now. */
  sockets(): readonly Socket[];
  /** What it says of itself when it is sent SIGUSR2: one line of JSON. */
  report(): Promise<unknown>;
  stop(): Promise<void>;
}

const URL_IN_LINE = /http:\/\/127\.0\.0\.1:\d+/;

/** Starts a TypeScript file in a process of its own and waits until it prints its address. */
export async function startChild(node: string, args: readonly string[], env = {}): Promise<Child> {
  const child = spawnLines(node, args, env);
  return {
    url: await addressOf(child),
    cpuMs: () => cpuMsOf(child.pid),
    residentMb: () => residentMbOf(child.pid),
    sockets: () => socketsOf(child.pid),
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
