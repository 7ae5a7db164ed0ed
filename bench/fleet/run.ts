import { KeyPool } from '../../src/pool/key-pool.ts';
import type { ApiKey } from '../../src/shared/api-key.ts';
import { Secret } from '../../src/shared/secret.ts';
import { modelTarget } from '../../src/shared/target.ts';
import { Sharing } from '../../src/sharing/sharing.ts';
import { createRandom } from '../exhaustion/arrivals.ts';
import {
  createProvider,
  createSimulatedRedis,
  createTimeline,
  type Provider,
  type SimulatedRedis,
  type Timeline,
} from './simulation.ts';

/** How many there are, and whether they know of each other. */
export interface Fleet {
  readonly instances: number;
  readonly keys: number;
  readonly isShared: boolean;
}

export interface Figures {
  readonly requests: number;
  readonly answered: number;
  readonly spent: number;
  readonly refused: number;
  readonly commandsPerSecond: number;
  readonly messagesPerSecond: number;
}

const TARGET = modelTarget('google', 'flash');
const HOUR_MS = 3_600_000;
/** The first second of some minute. */
const START_MS = Date.UTC(2026, 10, 24, 18);
const MINUTES = 3;
const RUN_MS = MINUTES * 60_000;
/** As `bench:cluster`: of four keys two run out every minute. */
const PER_MINUTE = [5, 10, 20, 40];
const REQUESTS_PER_KEY_AND_MINUTE = 12.5;
const FIRST_CHUNK_MS = 400;
const ANSWER_MS = 800;
const REFUSAL_MS = 100;
const WAIT_MS = 5000;
const LOOK_AGAIN_MS = 50;

/** Pools, sharing and rotation are the real ones; provider, Redis and time are not. */
export async function runFleet({ instances, keys: count, isShared }: Fleet): Promise<Figures> {
  const timeline = createTimeline(START_MS);
  const redis = createSimulatedRedis(timeline);
  const keys = Array.from({ length: count }, (_, index) => keyNumber(index));
  const limits = new Map(keys.map(({ id }, index) => [id, PER_MINUTE[index % 4] ?? 0]));
  const provider = createProvider(timeline, (key) => limits.get(key) ?? 0);
  const random = createRandom(7);
  const pools: KeyPool[] = [];
  for (let index = 0; index < instances; index += 1) {
    pools.push(await startPool(index, { timeline, redis, keys, isShared, random }));
  }
  const requests = Math.floor(count * REQUESTS_PER_KEY_AND_MINUTE * MINUTES);
  const crowd = { answered: 0 };
  for (let index = 0; index < requests; index += 1) {
    const pool = pools[index % instances];
    if (pool === undefined) continue;
    timeline.after((index * RUN_MS) / requests, () => ask(pool, provider, timeline, crowd));
  }
  await timeline.play(START_MS + RUN_MS + WAIT_MS);
  return {
    requests,
    answered: crowd.answered,
    spent: provider.spent,
    refused: provider.refused,
    commandsPerSecond: (redis.commands * 1000) / RUN_MS,
    messagesPerSecond: (redis.messages * 1000) / RUN_MS,
  };
}

function keyNumber(index: number): ApiKey {
  const id = `google-${index}`;
  return { id, provider: 'google', project: id, secret: new Secret(id, `text-of-${id}`) };
}

interface Surroundings {
  readonly timeline: Timeline;
  readonly redis: SimulatedRedis;
  readonly keys: readonly ApiKey[];
  readonly isShared: boolean;
  readonly random: () => number;
}

async function startPool(
  index: number,
  { timeline, redis, keys, isShared, random }: Surroundings,
): Promise<KeyPool> {
  const common = {
    keys,
    targets: [TARGET],
    cooldownMs: HOUR_MS,
    now: timeline.now,
  };
  if (!isShared) return new KeyPool(common);
  const store = redis.storeOf(index);
  const sharing = new Sharing({ store, keys, cooldownMs: HOUR_MS, clock: timeline });
  const pool = new KeyPool({ ...common, peers: sharing.peers, random });
  await sharing.join(pool, { opened() {}, changed() {} });
  return pool;
}

/** One key after the other until one answers; where there is none, it looks again for as long as a request waits. */
function ask(
  pool: KeyPool,
  provider: Provider,
  timeline: Timeline,
  crowd: { answered: number },
  deadline = timeline.now() + WAIT_MS,
): void {
  const again = () => ask(pool, provider, timeline, crowd, deadline);
  const lease = pool.lease(TARGET);
  if (lease === null) {
    if (timeline.now() < deadline) timeline.after(LOOK_AGAIN_MS, again);
    return;
  }
  const retryAfterMs = provider.call(lease.key.id);
  if (retryAfterMs === null) {
    timeline.after(FIRST_CHUNK_MS, () => lease.prove());
    timeline.after(ANSWER_MS, () => {
      lease.report({ kind: 'success' });
      crowd.answered += 1;
    });
    return;
  }
  timeline.after(REFUSAL_MS, () => {
    const left = Math.max(retryAfterMs - REFUSAL_MS, 0);
    lease.report({ kind: 'rate_limited', retryAfterMs: left, message: '' });
    again();
  });
}
