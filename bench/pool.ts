/**
 * What a lease costs: nanoseconds of CPU for lease and report together, with few and many keys, none and
 * most of them parked, beside the pool that everybody writes first (filter the array, take the next).
 */
import { KeyPool } from '../src/pool/key-pool.ts';
import type { ApiKey } from '../src/shared/api-key.ts';
import { Secret } from '../src/shared/secret.ts';
import { modelTarget } from '../src/shared/target.ts';
import { machine } from './support/machine.ts';
import { printTable } from './support/table.ts';

const HOUR = 3_600_000;
const FLASH = modelTarget('google', 'flash');
const SIZES = [10, 1000, 100_000];
const PARKED = [0, 0.9];
const ROUNDS = 7;
const ROUND_MS = 60;

type TakeOne = () => void;

console.log(`Measured on ${machine()}.\n`);
const rows = SIZES.flatMap((size) => PARKED.map((share) => measure(size, share)));
const [smallest = { ours: 1 }] = rows;
printTable(
  ['keys', 'parked', 'this pool, ns', 'filtered array, ns', 'this pool beside 10 keys, 0% parked'],
  rows.map(({ size, share, ours, filtered }) => [
    size.toLocaleString('en'),
    `${share * 100}%`,
    ours.toFixed(0),
    filtered.toFixed(0),
    `${(ours / smallest.ours).toFixed(2)} ×`,
  ]),
);

function measure(size: number, share: number) {
  const ours = poolOf(size, share);
  const filtered = filteredArrayOf(size, share);
  // In turns, so that a slower second of the machine meets both.
  const times = Array.from({ length: ROUNDS }, () => [time(ours), time(filtered)] as const);
  return {
    size,
    share,
    ours: Math.min(...times.map(([first]) => first)),
    filtered: Math.min(...times.map(([, second]) => second)),
  };
}

function poolOf(size: number, share: number): TakeOne {
  const keys = Array.from({ length: size }, (_, index): ApiKey => {
    const id = `google-${index}`;
    return { id, provider: 'google', project: id, secret: new Secret(id, id) };
  });
  const pool = new KeyPool({
    keys,
    targets: [FLASH],
    cooldownMs: HOUR,
    now: Date.now,
  });
  for (let parked = 0; parked < size * share; parked += 1) {
    pool.lease(FLASH)?.report({ kind: 'rate_limited', message: '' });
  }
  return () => {
    pool.lease(FLASH)?.report({ kind: 'success' });
  };
}

function filteredArrayOf(size: number, share: number): TakeOne {
  const keys = Array.from({ length: size }, (_, index) => ({
    id: index,
    until: index < size * share ? Date.now() + HOUR : 0,
    uses: 0,
  }));
  let turn = 0;
  return () => {
    const now = Date.now();
    const usable = keys.filter(({ until }) => until <= now);
    const key = usable[turn++ % usable.length];
    if (key !== undefined) key.uses += 1;
  };
}

/** Nanoseconds of CPU for one call, over as many as fit into the round; other work on the machine counts less. */
function time(takeOne: TakeOne): number {
  const end = performance.now() + ROUND_MS;
  const start = process.cpuUsage();
  let calls = 0;
  while (performance.now() < end) {
    for (let batch = 0; batch < 10; batch += 1) takeOne();
    calls += 10;
  }
  const { user, system } = process.cpuUsage(start);
  return ((user + system) * 1000) / calls;
}
