/**
 * What several instances gain and what sharing costs: calls wasted on spent keys, requests a second, CPU, and the
 * delay of a finding. The built server, everything in processes of its own; fails when a bound is missed.
 *
 *     npm run bench:cluster [-- PART …]
 */
import { measureFullSpeed } from './cluster/full-speed.ts';
import { measurePropagation } from './cluster/propagation.ts';
import { measureRunningOut } from './cluster/running-out.ts';
import { machine } from './support/machine.ts';
import { startRedis } from './support/redis-process.ts';

const PARTS = {
  'running-out': measureRunningOut,
  'full-speed': measureFullSpeed,
  propagation: measurePropagation,
};

const wanted = process.argv.slice(2);
const chosen = Object.entries(PARTS).filter(
  ([name]) => wanted.length === 0 || wanted.includes(name),
);
if (chosen.length === 0) throw new Error(`one of: ${Object.keys(PARTS).join(', ')}`);

console.log(`Measured on ${machine()}.\n`);
const redis = await startRedis();
const missed: string[] = [];
for (const [, measure] of chosen) missed.push(...(await measure(redis)));
await redis.stop();
for (const sentence of missed) console.log(`MISSED ${sentence}`);
process.exitCode = missed.length === 0 ? 0 : 1;
