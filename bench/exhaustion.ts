/**
 * What becomes of requests while keys run out: Understudy beside the pool that the tutorials teach
 * and beside a client that knows everything beforehand. `exhaustion.ts [SCENARIO…]`; fails when
 * Understudy misses a bound, and then keeps its log.
 */
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { playAllKnowing } from './exhaustion/all-knowing.ts';
import { arrivalsOf } from './exhaustion/arrivals.ts';
import { play } from './exhaustion/play.ts';
import { type Round, report } from './exhaustion/report.ts';
import type { Scenario } from './exhaustion/scenario.ts';
import { SCENARIOS, WARM_UP } from './exhaustion/scenarios.ts';
import { createUnderstudy } from './exhaustion/understudy.ts';
import { startUsualPool } from './exhaustion/usual-pool.ts';
import { machine } from './support/machine.ts';
import { isRedisInstalled, startRedis } from './support/redis-process.ts';

const wanted = process.argv.slice(2);
const chosen = SCENARIOS.filter(({ name }) => wanted.length === 0 || wanted.includes(name));
if (chosen.length === 0) {
  throw new Error(`one of: ${SCENARIOS.map(({ name }) => name).join(', ')}`);
}

console.log(`Measured on ${machine()}. Times are virtual, as if nothing had been sped up.\n`);
const redis = chosen.some(needsRedis) && isRedisInstalled() ? await startRedis() : null;
await playRound(WARM_UP, []);
const missed: string[] = [];
const skipped: string[] = [];
for (const scenario of chosen) {
  if (needsRedis(scenario) && redis === null) skipped.push(scenario.name);
  else missed.push(...(await playAndReport(scenario)));
}
await redis?.stop();
for (const name of skipped) console.log(`SKIPPED ${name}: there is no redis-server`);
for (const sentence of missed) console.log(`MISSED ${sentence}`);
process.exitCode = missed.length === 0 ? 0 : 1;

function needsRedis({ instances = 1 }: Scenario): boolean {
  return instances > 1;
}

async function playAndReport(scenario: Scenario): Promise<readonly string[]> {
  const logLines: string[] = [];
  const sentences = report(scenario, await playRound(scenario, logLines));
  if (sentences.length > 0) keepLog(scenario, logLines);
  return sentences;
}

/** Both at once, each with a stand-in of its own: they sleep most of the time. */
async function playRound(scenario: Scenario, logLines: string[]): Promise<Round> {
  const arrivals = arrivalsOf(scenario);
  const [understudy, usual] = await Promise.all([
    play(scenario, arrivals, createUnderstudy(logLines, redis?.url ?? null)),
    play(scenario, arrivals, startUsualPool),
  ]);
  return { understudy, usual, allKnowing: playAllKnowing(scenario, arrivals) };
}

function keepLog({ name }: Scenario, logLines: readonly string[]): void {
  const file = join(tmpdir(), `exhaustion-${name}.log`);
  writeFileSync(file, logLines.join(''));
  console.log(`The log of Understudy: ${file}\n`);
}
