import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { freePort } from './free-port.ts';
import { cpuMsOf } from './proc.ts';
import { spawnLines } from './spawn-lines.ts';

const PROGRAM = '/usr/bin/redis-server';

/** A Redis of its own, with nothing in it and no file. */
export interface RedisProcess {
  readonly url: string;
  readonly port: number;
  /** Milliseconds of CPU that it has used so far. */
  cpuMs(): number;
  stop(): Promise<void>;
}

export const isRedisInstalled = (): boolean => existsSync(PROGRAM);

export async function startRedis(): Promise<RedisProcess> {
  const port = await freePort();
  const basic = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir'];
  const redis = spawnLines(PROGRAM, [...basic, tmpdir()]);
  while (!(await redis.nextLine()).includes('Ready to accept connections'));
  return {
    url: `redis://127.0.0.1:${port}/0`,
    port,
    cpuMs: () => cpuMsOf(redis.pid),
    stop: () => redis.stop(),
  };
}
