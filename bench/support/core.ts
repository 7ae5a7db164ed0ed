import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';

/** A core for the server under test, and another for everybody else. */
export const SERVER_CORE = 0;
export const LOAD_CORE = 1;

/** Without it, or with one core only, processes run where the system puts them. */
export const canPin =
  availableParallelism() > 1 && spawnSync('taskset', ['--version']).error === undefined;

/** @returns what runs the program on one core, if one is named and where that is possible */
export const pinned = (
  core: number | undefined,
  program: string,
  args: readonly string[],
): [program: string, args: readonly string[]] =>
  canPin && core !== undefined
    ? ['taskset', ['-c', String(core), program, ...args]]
    : [program, args];
