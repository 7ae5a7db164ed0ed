/**
 * Callers who each ask for a stream again as soon as they have all of it, first of one server, then of
 * the next, and around again: `first-chunk-process.ts CALLERS URL…`. Prints a JSON array for each
 * server: how many milliseconds every first chunk took.
 */
import { Agent } from 'node:http';
import { setTimeout } from 'node:timers/promises';
import { openStream } from './open-stream.ts';

/** In turns, so that a slower second of the machine meets all. */
const ROUNDS = 3;
const TURN_MS = 1500;
/** They do not all begin at once, or each would wait for the others. */
const SPREAD_MS = 1000;
/** Who come and go before anything is measured. */
const WARM_UP_CALLERS = 200;

const [, , callers = '1', ...urls] = process.argv;
const agent = new Agent({ keepAlive: true, maxSockets: Number(callers) });
const took = new Map<string, number[]>();

for (const url of urls) await warmUp(url);
for (let round = 0; round < ROUNDS; round += 1) for (const url of urls) await ask(url);
console.log(JSON.stringify(urls.map((url) => took.get(url))));
agent.destroy();

async function warmUp(url: string): Promise<void> {
  const visits = Array.from({ length: WARM_UP_CALLERS }, () => openStream(url, new Agent()));
  for (const { firstChunkMs, hangUp } of visits) {
    await firstChunkMs;
    hangUp();
  }
}

async function ask(url: string): Promise<void> {
  const end = performance.now() + TURN_MS;
  const starts = Array.from(
    { length: Number(callers) },
    (_, i) => (SPREAD_MS * i) / Number(callers),
  );
  const lists = await Promise.all(starts.map((startMs) => askAgainAndAgain(url, startMs, end)));
  took.set(url, [...(took.get(url) ?? []), ...lists.flat()]);
}

async function askAgainAndAgain(url: string, startMs: number, end: number): Promise<number[]> {
  const times: number[] = [];
  await setTimeout(startMs);
  while (performance.now() < end) {
    const { firstChunkMs, isWhole } = openStream(url, agent);
    times.push(await firstChunkMs);
    if (!(await isWhole)) throw new Error(`${url}: an answer without its end`);
  }
  return times;
}
