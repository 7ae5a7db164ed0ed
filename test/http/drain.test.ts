import { once } from 'node:events';
import { Agent, get } from 'node:http';
import { connect } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import express from 'express';
import { afterEach, describe, expect, it } from 'vitest';
import { createHttpServer, drain, listen } from '../../src/http/listen.ts';
import { createLogger } from '../../src/shared/logger.ts';
import { createFakeClock } from '../support/fake-clock.ts';

const log = createLogger({ level: 'silent', redact: (text) => text });
const opened: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

/** A server that answers at once, but `/slow` only when told. */
async function start() {
  const clock = createFakeClock();
  const app = express();
  let finishSlow: () => void = () => {};
  app.get('/', (_request, response) => void response.send('here'));
  app.get('/slow', (_request, response) => {
    response.write('begun');
    finishSlow = () => response.end();
  });
  const server = createHttpServer(app, log);
  const port = await listen(server, 0, '127.0.0.1');
  opened.push(() => server.closeAllConnections());
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  opened.push(() => agent.destroy());
  const ask = (path = '/') => askOver(agent, port, path);
  return { clock, server, port, agent, ask, finishSlow: () => finishSlow() };
}

interface Asked {
  readonly connection: string | undefined;
  /** Once the whole answer is here. */
  readonly ended: Promise<unknown>;
}

function askOver(agent: Agent, port: number, path: string): Promise<Asked> {
  return new Promise((resolve, reject) => {
    get({ port, host: '127.0.0.1', path, agent }, (response) => {
      const ended = once(response, 'end').then(nextTurn);
      response.resume();
      resolve({ connection: response.headers.connection, ended });
    }).once('error', reject);
  });
}

const isOpen = (agent: Agent) => Object.values(agent.freeSockets).flat().length === 1;

/** Until what was sent over sockets has arrived. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await nextTurn();
}

describe('a server that drains', () => {
  it('answers one more request on an idle connection, as its last', async () => {
    const { clock, server, agent, ask } = await start();
    await (await ask()).ended;
    const drained = drain(server, clock, { limitMs: 60_000, idleMs: 2000 });
    for (let passed = 0; passed < 1950; passed += 50) {
      clock.advance(50);
      await settle();
    }
    expect(isOpen(agent)).toBe(true);
    const { connection, ended } = await ask();
    await ended;
    expect(connection).toBe('close');
    expect(await drained).toBe(true);
  });

  it('closes idle connections after that time', async () => {
    const { clock, server, agent, ask } = await start();
    await (await ask()).ended;
    const drained = drain(server, clock, { limitMs: 60_000, idleMs: 2000 });
    for (let passed = 0; passed < 2050; passed += 50) {
      clock.advance(50);
      await settle();
    }
    expect(await drained).toBe(true);
    expect(isOpen(agent)).toBe(false);
  });

  it('counts the idle time from the end of a running answer', async () => {
    const { clock, server, agent, ask, finishSlow } = await start();
    const { connection, ended } = await ask('/slow');
    expect(connection).toBe('keep-alive');
    const drained = drain(server, clock, { limitMs: 60_000, idleMs: 2000 });
    clock.advance(10_000);
    finishSlow();
    await ended;
    for (let passed = 0; passed < 1950; passed += 50) {
      clock.advance(50);
      await settle();
    }
    expect(isOpen(agent)).toBe(true);
    expect((await ask()).connection).toBe('close');
    expect(await drained).toBe(true);
  });

  it('cuts open connections at the limit, and reports it', async () => {
    const { clock, server, ask } = await start();
    const broken = expect((await ask('/slow')).ended).rejects.toThrow();
    const drained = drain(server, clock, { limitMs: 60_000, idleMs: 0 });
    clock.advance(59_999);
    await settle();
    expect(server.listening).toBe(false);
    clock.advance(1);
    expect(await drained).toBe(false);
    await broken;
  });

  it('answers a new connection that has sent nothing yet', async () => {
    const { clock, server, port } = await start();
    const socket = connect(port, '127.0.0.1');
    await Promise.all([once(socket, 'connect'), once(server, 'connection')]);
    const drained = drain(server, clock, { limitMs: 60_000, idleMs: 0 });
    socket.write('GET / HTTP/1.1\r\nhost: here\r\n\r\n');
    const [answer] = await once(socket, 'data');
    expect(String(answer)).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*connection: close/i);
    clock.advance(50);
    expect(await drained).toBe(true);
  });
});
