import { execFileSync, spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';

const SERVER_CORE = '0';
const LOAD_CORE = '1';

/** Without it, or with one core only, processes run where the system puts them. */
const canPin =
  availableParallelism() > 1 && spawnSync('taskset', ['--version']).error === undefined;

/** This process, and those that it starts, leave the servers' core alone. */
export function pinSelf(): void {
  if (canPin) execFileSync('taskset', ['-acp', LOAD_CORE, String(process.pid)]);
  else console.log('Not pinned to cores: no `taskset`, or one core only.\n');
}

/** @returns the program and the arguments that run it on the servers' core, where that is possible */
export const onServerCore = (
  program: string,
  args: readonly string[],
): [program: string, args: readonly string[]] =>
  canPin ? ['taskset', ['-c', SERVER_CORE, program, ...args]] : [program, args];
