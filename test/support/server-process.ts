import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { startProgram } from './program.ts';

const MAIN = resolve(import.meta.dirname, '../../src/main.ts');
const TSX = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;

export interface ServerProcess {
  readonly url: string;
  stop(): Promise<void>;
}

/** The server as a process of its own, with no other settings than these, in real time. */
export async function startServerProcess(
  environment: Readonly<Record<string, string>>,
): Promise<ServerProcess> {
  const folder = await mkdtemp(join(tmpdir(), 'understudy-server-'));
  const { ready, stop } = await startProgram(process.execPath, ['--import', TSX, MAIN], {
    cwd: folder,
    environment: { HOST: '127.0.0.1', PORT: '0', ...environment },
    until: /"port":(\d+).*"msg":"listening"/,
  });
  return {
    url: `http://127.0.0.1:${ready[1]}`,
    async stop() {
      await stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
