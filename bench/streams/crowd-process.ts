/**
 * Clients who all come at once: `crowd-process.ts URL COUNT`. Prints one line when each has its first
 * chunk: how many streams are open then. Another one when all are over: how many were whole. On SIGUSR2
 * all hang up.
 */
import { Agent } from 'node:http';
import { openStream } from './open-stream.ts';

const [, , url = '', count = '1'] = process.argv;
const agent = new Agent({ maxSockets: Number.POSITIVE_INFINITY });
const streams = Array.from({ length: Number(count) }, () => openStream(url, agent));
process.on('SIGUSR2', () => {
  for (const stream of streams) stream.hangUp();
});

let open = streams.length;
for (const { isWhole } of streams) {
  void isWhole.then(() => {
    open -= 1;
  });
}
await Promise.all(streams.map(({ firstChunkMs }) => firstChunkMs));
console.log(open);
const whole = await Promise.all(streams.map(({ isWhole }) => isWhole));
console.log(whole.filter(Boolean).length);
