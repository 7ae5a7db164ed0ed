import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Program, startProgram } from './program.ts';
import type { LogLine } from './start-app.ts';

const MAIN = resolve(import.meta.dirname, '../../src/main.ts');
export const TSX = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;

export interface ServerProcess extends Pick<Program, 'stop' | 'end'> {
  readonly url: string;
  /** The log lines so far that have this text in their message. */
  logs(message: string): readonly LogLine[];
}

/** `main.ts` as a process of its own, with no other settings than these, in real time. */
export async function startServerProcess(
  environment: Readonly<Record<string, string>>,
): Promise<ServerProcess> {
  const folder = await mkdtemp(join(tmpdir(), 'understudy-server-'));
  const program = await startProgram(process.execPath, ['--import', TSX, MAIN], {
    cwd: folder,
    environment: { HOST: '127.0.0.1', PORT: '0', ...environment },
    until: /"port":(\d+).*"msg":"listening"/,
  });
  return {
    url: `http://127.0.0.1:${program.ready[1]}`,
    logs: (message) => linesIn(program.said()).filter(({ msg }) => msg.includes(message)),
    async stop() {
      await program.stop();
      await rm(folder, { recursive: true, force: true });
    },
    end: program.end,
  };
}

/** `main.ts` with settings that stop its start: what it said, and its exit code. */
export function startRefused(
  environment: Readonly<Record<string, string>>,
): Promise<{ readonly said: string; readonly code: unknown }> {
  const env = { PATH: process.env.PATH ?? '', HOST: '127.0.0.1', PORT: '0', ...environment };
  const options = { cwd: tmpdir(), timeout: 20_000, env: { ...env, LOG_LEVEL: 'silent' } };
  return new Promise((resolve) => {
    execFile(process.execPath, ['--import', TSX, MAIN], options, (error, stdout, stderr) =>
      resolve({ said: stdout + stderr, code: error?.code ?? error?.signal ?? 0 }),
    );
  });
}

/** Only whole lines: the last one may be incomplete. */
const linesIn = (text: string): readonly LogLine[] =>
  text
    .split('\n')
    .slice(0, -1)
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line));
