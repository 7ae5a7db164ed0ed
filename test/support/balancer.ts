import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { afterEach } from 'vitest';

interface Server {
  readonly url: string;
}

/** A balancer in front of several servers: each new connection goes to the next one that accepts. */
export interface Balancer extends Server {
  /** New connections go to these servers only; open ones stay open. */
  sendTo(servers: readonly Server[]): void;
  /** How many connections this server has from here. */
  openTo(server: Server): number;
}

const running: (() => void)[] = [];

afterEach(() => {
  for (const stop of running.splice(0)) stop();
});

/** Until the end of the test. It passes bytes on unread and retries no accepted connection. */
export async function startBalancer(servers: readonly Server[]): Promise<Balancer> {
  let targets = servers;
  let turn = 0;
  const open = new Map<string, Set<Socket>>();
  const openTo = (url: string) => {
    const sockets = open.get(url) ?? new Set();
    open.set(url, sockets);
    return sockets;
  };

  async function firstThatAccepts(): Promise<Socket | null> {
    for (const _ of targets) {
      turn += 1;
      const target = targets[turn % targets.length];
      const socket = target === undefined ? null : await accepted(target.url);
      if (target === undefined || socket === null) continue;
      const sockets = openTo(target.url).add(socket);
      socket.once('close', () => sockets.delete(socket));
      return socket;
    }
    return null;
  }

  const listener = createServer({ allowHalfOpen: true, pauseOnConnect: true }, async (near) => {
    near.on('error', () => {});
    const far = await firstThatAccepts();
    if (far === null) near.destroy();
    else join(near, far);
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const nears = new Set<Socket>();
  listener.on('connection', (near) => nears.add(near));
  running.push(() => {
    listener.close();
    for (const socket of [...nears, ...[...open.values()].flatMap((some) => [...some])]) {
      socket.destroy();
    }
  });
  const address = listener.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    sendTo(servers) {
      targets = servers;
    },
    openTo: ({ url }) => openTo(url).size,
  };
}

/** @returns null when it is refused */
async function accepted(url: string): Promise<Socket | null> {
  const { port, hostname } = new URL(url);
  const socket = connect({ port: Number(port), host: hostname, allowHalfOpen: true });
  try {
    await once(socket, 'connect');
    return socket;
  } catch {
    return null;
  }
}

function join(near: Socket, far: Socket): void {
  for (const [one, other] of [
    [near, far],
    [far, near],
  ] as const) {
    one.on('error', () => other.destroy());
    one.on('close', () => other.destroy());
    one.pipe(other);
  }
}
