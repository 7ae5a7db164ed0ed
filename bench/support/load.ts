/**
 * The load generator, in a process of its own: so many callers, each asking again as soon as it has
 * its answer, each of one server: `load.ts URL[,URL…] CALLERS SECONDS`; prints one JSON object.
 */
import { Agent, request } from 'node:http';
import { quantile } from './quantile.ts';

const [, , list = '', callers = '1', seconds = '1'] = process.argv;
const urls = list.split(',');
const agent = new Agent({ keepAlive: true, maxSockets: Number(callers) });
const body = JSON.stringify({ message: 'Hello there' });
const headers = { 'content-type': 'application/json', 'content-length': body.length };
const latenciesMs: number[] = [];
let failed = 0;

const start = performance.now();
const end = start + Number(seconds) * 1000;
await Promise.all(
  Array.from({ length: Number(callers) }, (_, caller) => callAgainAndAgain(caller)),
);
const elapsedSeconds = (performance.now() - start) / 1000;
latenciesMs.sort((a, b) => a - b);
console.log(
  JSON.stringify({
    total: latenciesMs.length,
    failed,
    perSecond: latenciesMs.length / elapsedSeconds,
    p50: quantile(latenciesMs, 0.5),
    p99: quantile(latenciesMs, 0.99),
  }),
);
agent.destroy();

async function callAgainAndAgain(caller: number): Promise<void> {
  const url = urls[caller % urls.length] ?? '';
  while (performance.now() < end) {
    const asked = performance.now();
    const status = await call(url);
    latenciesMs.push(performance.now() - asked);
    if (status !== 200) failed += 1;
  }
}

function call(url: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request(`${url}/api/chat`, { agent, method: 'POST', headers }, (response) => {
      response.resume();
      response.once('end', () => resolve(response.statusCode ?? 0));
    });
    sent.once('error', reject);
    sent.end(body);
  });
}
