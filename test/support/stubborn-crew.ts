import { createServer } from 'node:http';
import { createSystemClock } from '../../src/shared/clock.ts';
import { createLogger } from '../../src/shared/logger.ts';
import { joinPrimary } from '../../src/workers/join.ts';
import { createPrimary } from '../../src/workers/primary.ts';

/**
 * A primary and three workers that pay no heed when they are let go. Each worker answers a request with
 * what its colleagues and its primary say.
 */
const clock = createSystemClock();
const isWorker = process.argv.includes('--worker');
await (isWorker ? work() : lead());

async function lead(): Promise<void> {
  const log = createLogger({ level: 'info', redact: (text) => text });
  const primary = createPrimary({ clock, log, args: ['--worker'], drainLimitMs: 300 });
  primary.desk.handle('who', (payload, from) => ({ payload, from }));
  primary.desk.onGone((worker) => log.info({ worker }, 'gone'));
  process.on('SIGTERM', async () => {
    await primary.stop(0);
    process.exit(0);
  });
  const port = await primary.start({ workers: 3, settings: { greeting: 'hello' } });
  log.info({ port }, 'listening');
  primary.desk.send('news', 'all are here', 2);
}

async function work(): Promise<void> {
  const { hub, number, settings, onLeave } = joinPrimary(clock);
  const given = await settings();
  const news: unknown[] = [];
  hub.on('news', (payload) => news.push(payload));
  hub.colleagues.answer('number', () => number);
  onLeave(() => {});
  const server = createServer(async (_request, response) => {
    const colleagues = await hub.colleagues.ask('number', null);
    const primary = await hub.call('who', [1], 5000);
    response.setHeader('connection', 'close');
    response.end(JSON.stringify({ number, given, colleagues, primary, news }));
  });
  server.listen({ port: 0, host: '127.0.0.1' });
}
