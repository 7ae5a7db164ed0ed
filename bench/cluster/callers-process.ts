/**
 * Callers who come so many a second, whatever becomes of those before, to one server after the other:
 * `callers-process.ts URL[,URL…] PER_SECOND SECONDS WINDOW_MS`. They begin when a quota window does.
 * Prints one JSON object.
 */
import { Agent, request } from 'node:http';
import { setTimeout } from 'node:timers/promises';
import { quantile } from '../support/quantile.ts';

export interface CallersReport {
  readonly asked: number;
  readonly served: number;
  readonly p50: number;
  readonly p99: number;
}

const [, , list = '', perSecond = '1', seconds = '1', windowMs = '1'] = process.argv;
const urls = list.split(',');
const agent = new Agent({ keepAlive: true });
const headers = { 'content-type': 'application/json' };
const body = JSON.stringify({ message: 'Hello there' });

await setTimeout(Number(windowMs) - (Date.now() % Number(windowMs)));
const start = performance.now();
const count = Number(perSecond) * Number(seconds);
const answers = await Promise.all(Array.from({ length: count }, (_, index) => comeAndAsk(index)));
const served = answers.filter(({ status }) => status === 200);
const latencies = served.map(({ ms }) => ms).toSorted((a, b) => a - b);
const report: CallersReport = {
  asked: count,
  served: served.length,
  p50: quantile(latencies, 0.5),
  p99: quantile(latencies, 0.99),
};
console.log(JSON.stringify(report));
agent.destroy();

async function comeAndAsk(index: number) {
  await setTimeout(start + (index * 1000) / Number(perSecond) - performance.now());
  const asked = performance.now();
  const status = await call(urls[index % urls.length] ?? '').catch(() => 0);
  return { status, ms: performance.now() - asked };
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
