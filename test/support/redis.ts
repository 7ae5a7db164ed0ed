import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { Redis } from 'ioredis';
import { afterEach, expect, vi } from 'vitest';

export const REDIS_SERVER = '/usr/bin/redis-server';

/** A real Redis with nothing in it and no file of its own. */
export interface RedisServer {
  readonly url: string;
  readonly port: number;
  /** For looking and for doing harm. */
  readonly client: Redis;
  /** `SIGKILL` ends it, `SIGSTOP` leaves its connections open without a word. */
  signal(signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): Promise<void>;
  /** After it has ended: on the same port, empty. */
  startAgain(): Promise<void>;
}

const running: (() => Promise<void>)[] = [];

afterEach(async () => {
  await Promise.all(running.splice(0).map((stop) => stop()));
});

/** Until the end of the test. */
export async function startRedis(...settings: readonly string[]): Promise<RedisServer> {
  const port = await freePort();
  const url = `redis://127.0.0.1:${port}/0`;
  let child = await start(port, settings);
  const client = new Redis(url, { maxRetriesPerRequest: 0, retryStrategy: () => 50 });
  client.on('error', () => {});
  running.push(async () => {
    client.disconnect();
    await end(child);
  });
  return {
    url,
    port,
    client,
    async signal(signal) {
      if (signal === 'SIGKILL') await end(child);
      else child.kill(signal);
    },
    async startAgain() {
      child = await start(port, settings);
      await vi.waitFor(() => client.ping(), { timeout: 5000, interval: 20 });
    },
  };
}

async function start(port: number, settings: readonly string[]) {
  const basic = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--daemonize', 'no'];
  const child = spawn(REDIS_SERVER, [...basic, ...settings], { cwd: tmpdir(), stdio: 'pipe' });
  let said = '';
  child.stdout.on('data', (text: Buffer) => {
    said += text;
  });
  await vi.waitFor(() => expect(said).toContain('Ready to accept connections'), {
    timeout: 5000,
    interval: 10,
  });
  return child;
}

async function end(child: Awaited<ReturnType<typeof start>>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

/** Nobody else is given it while the test runs, as far as the system can help it. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
