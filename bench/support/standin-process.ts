/** A stand-in in a process of its own: `standin-process.ts [chunks]`, one key without limits. */
import { createSystemClock } from '../../src/shared/clock.ts';
import { startStandin } from '../../src/standin/standin.ts';

const [, , chunks = '1'] = process.argv;
const standin = await startStandin({
  clock: createSystemClock(),
  keys: [{ key: 'bench-key', service: 'google' }],
  answer: { chunks: Number(chunks), text: 'A short answer, as a chat gives them.' },
});
console.log(standin.url);
