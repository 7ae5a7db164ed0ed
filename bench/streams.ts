/**
 * How streams fare: how soon the first chunk comes, what five thousand at once cost, and what is left of
 * a thousand clients who hang up. Understudy beside a bare pass-through; fails when a bound is missed.
 */
import { measureAtOnce } from './streams/at-once.ts';
import { measureFirstChunk } from './streams/first-chunk.ts';
import { measureHangUps } from './streams/hang-up.ts';
import { machine } from './support/machine.ts';
import { pinSelf } from './support/pin.ts';

console.log(`Measured on ${machine()}.\n`);
pinSelf();
const missed = [
  ...(await measureFirstChunk()),
  ...(await measureAtOnce()),
  ...(await measureHangUps()),
];
for (const sentence of missed) console.log(`MISSED ${sentence}`);
process.exitCode = missed.length === 0 ? 0 : 1;
