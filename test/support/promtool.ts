import { execFile } from 'node:child_process';
import { PROMETHEUS_FILES } from './deployed.ts';

/** Debian's, of the package `prometheus`. */
export const PROMTOOL = '/usr/bin/promtool';

export interface Ran {
  readonly code: number;
  /** On both outputs. */
  readonly said: string;
}

/** @param cwd Default: where the files of `deploy/` are. */
export function promtool(
  args: readonly string[],
  { cwd = PROMETHEUS_FILES, input = '' }: { cwd?: string; input?: string } = {},
): Promise<Ran> {
  return new Promise((resolve) => {
    const child = execFile(PROMTOOL, args, { cwd }, (error, stdout, stderr) =>
      resolve({ code: Number(error?.code ?? 0), said: stdout + stderr }),
    );
    child.stdin?.end(input);
  });
}
