/**
 * A simulation of more instances than a machine holds: real pools that really share, with a provider,
 * a Redis and a time that are simulated. Counts the calls wasted on spent keys, and the commands to Redis.
 */
import { type Figures, type Fleet, runFleet } from './fleet/run.ts';
import { printTable } from './support/table.ts';

const SIZES = [
  { instances: 1, keys: 10 },
  { instances: 10, keys: 10 },
  { instances: 100, keys: 10 },
  { instances: 1000, keys: 10 },
  { instances: 1, keys: 100 },
  { instances: 10, keys: 100 },
  { instances: 100, keys: 100 },
  { instances: 1000, keys: 100 },
  { instances: 1, keys: 1000 },
  { instances: 10, keys: 1000 },
  { instances: 100, keys: 1000 },
];

const rows: string[][] = [];
for (const size of SIZES) {
  const alone = await runFleet({ ...size, isShared: false });
  const shared = await runFleet({ ...size, isShared: true });
  rows.push(toRow(size, alone, shared));
}
printTable(
  [
    'instances',
    'keys',
    'requests',
    'answered, each alone',
    'answered, sharing',
    'times a key ran out',
    'wasted, each alone',
    'wasted, sharing',
    'commands/s',
    'messages out/s',
  ],
  rows,
);

function toRow(
  { instances, keys }: Omit<Fleet, 'isShared'>,
  alone: Figures,
  shared: Figures,
): string[] {
  return [
    instances.toLocaleString('en'),
    keys.toLocaleString('en'),
    shared.requests.toLocaleString('en'),
    alone.answered.toLocaleString('en'),
    shared.answered.toLocaleString('en'),
    String(shared.spent),
    String(alone.refused),
    String(shared.refused),
    shared.commandsPerSecond.toFixed(1),
    shared.messagesPerSecond.toLocaleString('en', { maximumFractionDigits: 0 }),
  ];
}
