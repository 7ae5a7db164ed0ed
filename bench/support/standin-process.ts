/**
 * A stand-in in a process of its own: `standin-process.ts [CHUNKS [MS_BETWEEN_CHUNKS]]`, one key
 * without limits. On SIGUSR2 it prints what became of its calls.
 */
import { createSystemClock } from '../../src/shared/clock.ts';
import { startStandin } from '../../standin/standin.ts';

export interface CallReport {
  readonly calls: number;
  /** Their caller hung up before the end of the answer. */
  readonly aborted: number;
  /** Being answered right now. */
  readonly open: number;
}

const [, , chunks = '1', chunkMs = '0'] = process.argv;
const standin = await startStandin({
  clock: createSystemClock(),
  keys: [{ key: 'bench-key', service: 'google' }],
  answer: {
    chunks: Number(chunks),
    chunkMs: Number(chunkMs),
    text: 'A short answer, as a chat gives them.',
  },
});
process.on('SIGUSR2', () => console.log(JSON.stringify(reportCalls())));
console.log(standin.url);

function reportCalls(): CallReport {
  const { calls } = standin;
  const aborted = calls.filter((call) => call.aborted).length;
  return { calls: calls.length, aborted, open: standin.openRequests() };
}
