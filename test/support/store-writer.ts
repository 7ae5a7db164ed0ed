/*
 * A process that writes to a store until it is killed: fifty documents with one number at a time, and two numbers of the
 * same size. The environment says where: DATA_DIR or REDIS_URL.
 */
import { createSystemClock } from '../../src/shared/clock.ts';
import { createLogger } from '../../src/shared/logger.ts';
import { Secret } from '../../src/shared/secret.ts';
import { openStore } from '../../src/sharing/open-store.ts';
import { createRedisStore } from '../../src/sharing/redis-store.ts';

const { DATA_DIR: dataDir = null, REDIS_URL: url } = process.env;
const clock = createSystemClock();
const log = createLogger({ level: 'silent', redact: String, destination: process.stderr });
const options = { prefix: 'understudy:', keys: [], clock, random: Math.random, log };
const redis =
  url === undefined ? undefined : createRedisStore({ ...options, url: new Secret('redis', url) });
const store = await openStore({ redis: redis?.documents, dataDir, masterKey: null, clock, log });
const names = Array.from({ length: 50 }, (_, index) => `document-${index}`);
const LATER = Date.now() + 3_600_000;

for (let round = 1; ; round += 1) {
  const text = JSON.stringify({ round, filler: 'x'.repeat(2000) });
  await Promise.all([
    store.write(
      'keys',
      names.map((name) => ({ name, text })),
    ),
    store.add(
      'sums',
      [
        { name: 'one', numbers: { n: 1 } },
        { name: 'other', numbers: { n: 1 } },
      ],
      LATER,
    ),
  ]);
  process.stdout.write(`round ${round}\n`);
}
