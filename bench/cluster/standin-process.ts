/**
 * A stand-in whose keys run out, in a process of its own: `standin-process.ts OPTIONS`, those of
 * `startStandin` as JSON. On SIGUSR2 it prints how many calls its keys had.
 */
import { createSystemClock } from '../../src/shared/clock.ts';
import { type StandinOptions, startStandin } from '../../standin/standin.ts';

const [, , json = '{}'] = process.argv;
const options = JSON.parse(json) as Omit<StandinOptions, 'clock'>;
const standin = await startStandin({ ...options, clock: createSystemClock() });
process.on('SIGUSR2', () => {
  console.log(options.keys.reduce((sum, { key }) => sum + standin.callsOf(key), 0));
});
console.log(standin.url);
