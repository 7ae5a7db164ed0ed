import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { afterEach } from 'vitest';

/** A network line to a port of this machine that can be cut without a close at either end. */
export interface CuttableLine {
  readonly port: number;
  cut(): void;
  mend(): void;
}

const running: (() => void)[] = [];

afterEach(() => {
  for (const stop of running.splice(0)) stop();
});

export async function startCuttableLine(to: number): Promise<CuttableLine> {
  const sockets = new Set<Socket>();
  let isCut = false;
  const server = createServer((near) => {
    const far = connect(to, '127.0.0.1');
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one);
      one.on('data', (data: Buffer) => {
        // What is said while the line is cut is lost.
        if (!isCut) other.write(data);
      });
      one.on('error', () => {});
      one.on('close', () => {
        sockets.delete(one);
        if (!isCut) other.destroy();
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  running.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    port: address.port,
    cut() {
      isCut = true;
    },
    mend() {
      isCut = false;
      // What was open while it was cut has lost part of what was said.
      for (const socket of sockets) socket.destroy();
    },
  };
}
