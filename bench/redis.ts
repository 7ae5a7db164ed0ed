/**
 * What sharing costs Redis: commands, bytes and CPU of each event, the memory of the records, what a new instance
 * reads, and the cost of a thousand subscribers. A real Redis, the real code on our side.
 *
 *     npm run bench:redis [-- PART …]
 */
import { measureComeBack } from './redis/come-back.ts';
import { measureEvents } from './redis/events.ts';
import { measureFanOut } from './redis/fan-out.ts';
import { measureRecords } from './redis/records.ts';
import { machine } from './support/machine.ts';

const PARTS = {
  events: measureEvents,
  records: measureRecords,
  'fan-out': measureFanOut,
  'come-back': measureComeBack,
};

const wanted = process.argv.slice(2);
const chosen = Object.entries(PARTS).filter(
  ([name]) => wanted.length === 0 || wanted.includes(name),
);
if (chosen.length === 0) throw new Error(`one of: ${Object.keys(PARTS).join(', ')}`);

console.log(`Measured on ${machine()}.\n`);
for (const [, measure] of chosen) await measure();
