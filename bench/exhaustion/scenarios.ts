import type { Fault } from '../../standin/standin.ts';
import { GOOD_MODEL, type Phase, type Scenario, type ScenarioKey } from './scenario.ts';

/** Ten in the morning in Los Angeles, a few seconds into a minute. */
const MORNING = Date.UTC(2026, 10, 24, 18, 0, 4);
/** Six minutes before midnight in Los Angeles. */
const BEFORE_MIDNIGHT = Date.UTC(2026, 10, 25, 7, 54, 4);
const SECOND_MODEL = 'gemini-flash-lite-latest';
/** What is left of a minute that began four seconds before the scenario. */
const REST_OF_MINUTE = 56 / 60;
/** Where the time of answers is bounded: 0.7 s in all. */
const QUICK_ANSWER = { firstChunkMs: 600, chunks: 2, chunkMs: 120 };

const times = <T>(count: number, value: T): T[] => Array.from({ length: count }, () => value);

const alternating = (calm: number, busy: number, rounds: number): Phase[] =>
  times(rounds, [
    { minutes: 2, perMinute: calm },
    { minutes: 2, perMinute: busy },
  ]).flat();

/** In every third minute comes within 20 s what the whole minute's quota cannot answer. */
const spikes = (calm: number, busy: number): Phase[] =>
  times(4, [
    { minutes: REST_OF_MINUTE, perMinute: calm },
    { minutes: 1 / 3, perMinute: busy },
    { minutes: 3 - 1 / 3 - REST_OF_MINUTE, perMinute: calm },
  ]).flat();

const bursts: Scenario = {
  name: 'bursts',
  title:
    'Bursts above the minute quota: 5 keys, 60 a minute in all, asked 30 and 150 a minute in turns',
  startsAt: MORNING,
  speed: 40,
  seed: 101,
  keys: [10, 10, 10, 15, 15].map((rpm) => ({ limits: { rpm } })),
  load: [...alternating(30, 150, 3), { minutes: 2, perMinute: 30 }],
};

const spentDay: Scenario = {
  name: 'spent-day',
  title: 'One of 5 keys has only 20 answers a day; 75 minutes at 28 a minute, the others give 40',
  startsAt: MORNING,
  speed: 80,
  seed: 102,
  keys: [...times(4, { limits: { rpm: 10 } }), { limits: { rpm: 10, rpd: 20 } }],
  load: [{ minutes: 75, perMinute: 28 }],
  watched: 4,
};

const mixed: Scenario = {
  name: 'mixed',
  title:
    'A mixed pool: 4 good keys beside a leaked one, an invalid one, one that hangs from minute 3 to 11, and one that fails every third call; 30 a minute',
  startsAt: MORNING,
  speed: 40,
  seed: 103,
  keys: [
    { limits: { rpm: 10 } },
    { limits: { rpm: 10 }, faults: [{ fault: { kind: 'leaked' } }] },
    { limits: { rpm: 10 } },
    { limits: { rpm: 10 }, faults: [{ fault: { kind: 'hang' }, from: 3, to: 11 }] },
    { limits: { rpm: 10 } },
    { limits: { rpm: 10 }, faults: [{ fault: { kind: 'bad_key' } }] },
    { limits: { rpm: 10 }, faults: [{ fault: everyThird('overloaded') }] },
    { limits: { rpm: 10 } },
  ],
  load: [{ minutes: 16, perMinute: 30 }],
  bounds: { callsPerAnswer: 1.2 },
};

const everythingSpent: Scenario = {
  name: 'all-spent',
  title:
    'Everything spent at once: 5 keys of 10 a minute; a spike of 240 a minute for 20 s, then 25 a minute',
  startsAt: MORNING,
  speed: 40,
  seed: 104,
  keys: times(5, { limits: { rpm: 10 } }),
  load: spikes(25, 240),
  recoversAt: [0, 1, 2, 3].map((round) => 3 * round + REST_OF_MINUTE + 1),
};

const slowAnswers: Scenario = {
  ...everythingSpent,
  name: 'slow-answers',
  title:
    'Everything spent at once, few keys, a model that thinks first (3 s to its first words, 6 s in all): 2 keys of 15 a minute; a spike of 150 a minute for the last 20 s of a minute, else 20 a minute',
  seed: 108,
  keys: times(2, { limits: { rpm: 15 } }),
  answer: { firstChunkMs: 3000, chunks: 13, chunkMs: 240 },
  load: times(4, [
    { minutes: 1 + 36 / 60, perMinute: 20 },
    { minutes: 20 / 60, perMinute: 150 },
    { minutes: 1 + 4 / 60, perMinute: 20 },
  ]).flat(),
  recoversAt: [0, 1, 2, 3].map((round) => 3 * round + 1 + REST_OF_MINUTE),
};

const slowSpike: Scenario = {
  ...slowAnswers,
  name: 'slow-spike',
  title:
    'The same with far more waiting than the keys can answer: a spike of 600 a minute for the last 20 s of a minute, then 60 a minute',
  seed: 110,
  load: times(4, [
    { minutes: 1 + 36 / 60, perMinute: 20 },
    { minutes: 20 / 60, perMinute: 600 },
    { minutes: 1 + 4 / 60, perMinute: 60 },
  ]).flat(),
};

const midnight: Scenario = {
  name: 'midnight',
  title: "The day's quota spent on all 5 keys before midnight in Los Angeles, and back at midnight",
  startsAt: BEFORE_MIDNIGHT,
  speed: 40,
  seed: 105,
  keys: times(5, { limits: { rpm: 10, rpd: 25 } }),
  load: [
    { minutes: 5 + REST_OF_MINUTE, perMinute: 40 },
    { minutes: 4, perMinute: 25 },
  ],
  recoversAt: [5 + REST_OF_MINUTE],
};

const shared: Scenario = {
  name: 'shared',
  title: '12 keys in 3 labelled projects of 15 a minute, asked 22 and 110 a minute in turns',
  startsAt: MORNING,
  speed: 40,
  seed: 106,
  keys: inThreeProjects(true),
  load: [...alternating(22, 110, 3), { minutes: 2, perMinute: 22 }],
};

const unlabelled: Scenario = {
  ...shared,
  name: 'unlabelled',
  title: 'The same 12 keys in 3 projects, without project labels',
  keys: inThreeProjects(false),
  // Nothing says which keys share a quota, so that each has to be refused itself.
  bounds: { callsPerAnswer: 1.2 },
};

const spentModel: Scenario = {
  name: 'spent-model',
  title:
    'A spent model: 4 keys with 20 answers a day of the first model and 15 a minute of the second; 35 a minute, no model named',
  startsAt: MORNING,
  speed: 80,
  seed: 107,
  models: [GOOD_MODEL, SECOND_MODEL],
  keys: times(4, {
    modelLimits: { [GOOD_MODEL]: { rpm: 10, rpd: 20 }, [SECOND_MODEL]: { rpm: 15, rpd: 1000 } },
  }),
  load: [{ minutes: 66, perMinute: 35 }],
};

/** What scenarios with broken keys share: the good ones alone can serve all. */
const WITH_BROKEN_KEYS = {
  startsAt: MORNING,
  speed: 6,
  load: [{ minutes: 3.5, perMinute: 240 }],
  answer: QUICK_ANSWER,
};

const GOOD = null;
const HANGS: Fault = { kind: 'hang' };
const RESETS: Fault = { kind: 'reset' };
const IS_LATE: Fault = { kind: 'slow', ms: 8000 };

const hanging: Scenario = {
  ...WITH_BROKEN_KEYS,
  name: 'hanging',
  title: 'Ten keys, three of which never answer; 240 a minute',
  seed: 111,
  keys: withFaults([GOOD, HANGS, GOOD, GOOD, HANGS, GOOD, GOOD, HANGS, GOOD, GOOD]),
  bounds: { callsPerAnswer: 1.2, p90: 3 },
};

const slowKeys: Scenario = {
  ...WITH_BROKEN_KEYS,
  name: 'slow-keys',
  title:
    'Ten keys, three of which answer eight seconds late, and two reset every connection; 240 a minute',
  seed: 112,
  keys: withFaults([GOOD, IS_LATE, GOOD, RESETS, IS_LATE, GOOD, RESETS, GOOD, IS_LATE, GOOD]),
  bounds: { callsPerAnswer: 1.2, p99: 2 },
};

const broken: Scenario = {
  ...WITH_BROKEN_KEYS,
  name: 'broken',
  title:
    'Ten keys, six of them broken: a leaked one, an invalid one, one that resets every connection, one that answers with nothing, one that is always overloaded, one that never answers; 240 a minute',
  seed: 113,
  keys: withFaults([
    GOOD,
    { kind: 'leaked' },
    { kind: 'bad_key' },
    GOOD,
    RESETS,
    { kind: 'empty_body' },
    GOOD,
    { kind: 'overloaded' },
    HANGS,
    GOOD,
  ]),
  bounds: { callsPerAnswer: 1.2, p99: 2 },
};

const slowModel: Scenario = {
  name: 'slow-model',
  title: 'A model that thinks for 30 s before its first word, on every key; ten keys, 30 a minute',
  startsAt: MORNING,
  speed: 20,
  seed: 114,
  keys: times(10, {}),
  load: [{ minutes: 10, perMinute: 30 }],
  answer: { firstChunkMs: 30_000, chunks: 2, chunkMs: 120 },
  bounds: { share: 1, callsPerAnswer: 1 },
};

const oversized: Scenario = {
  name: 'oversized',
  title:
    '20 keys of 16,000 tokens and 30 requests a minute; 120 short chats a minute, and every 10 s a message of 950 kB that fits into no quota',
  startsAt: MORNING,
  speed: 6,
  seed: 115,
  keys: times(20, { limits: { rpm: 30, tpm: 16_000 } }),
  load: [{ minutes: 3.5, perMinute: 120 }],
  special: { everyMs: 10_000, length: 950_000 },
  answer: QUICK_ANSWER,
  bounds: { share: 1, p99: 2, callsPerSpecial: 3 },
};

const unexplained: Scenario = {
  name: 'unexplained',
  title:
    '5 keys of 10 a minute, asked 60 a minute, and every second a search that each key refuses with a 429 without a cause, whatever is left',
  startsAt: MORNING,
  speed: 30,
  seed: 116,
  keys: times(5, { limits: { rpm: 10 }, refusesSearch: true }),
  load: [{ minutes: 12, perMinute: 60 }],
  special: { everyMs: 1000, length: 500, isSearch: true },
};

const tokenLimits: Scenario = {
  name: 'token-limits',
  title:
    'Tokens run out, not requests: 3 keys of 16,000 tokens a minute, messages of 50 to 1,000 tokens, which makes 91 a minute; asked 45 and 150 a minute in turns',
  startsAt: MORNING,
  speed: 30,
  seed: 117,
  keys: times(3, { limits: { tpm: 16_000 } }),
  load: [...alternating(45, 150, 3), { minutes: 2, perMinute: 45 }],
  messageLength: { least: 200, most: 4000 },
};

const pacedBursts: Scenario = {
  name: 'paced-bursts',
  title:
    'Bursts above a minute quota that the settings state: 6 keys of 10 a minute, asked 150 a minute for four minutes and 30 for one',
  startsAt: MORNING,
  speed: 20,
  seed: 118,
  keys: times(6, { limits: { rpm: 10 } }),
  load: times(2, [
    { minutes: 4, perMinute: 150 },
    { minutes: 1, perMinute: 30 },
  ]).flat(),
  settings: { GOOGLE_LIMITS: `${GOOD_MODEL}: 10 rpm` },
};

/** In real time: as short as two windows can be. */
const instances: Scenario = {
  name: 'instances',
  title:
    'Four instances with one Redis, callers spread over them: 20 keys of 15 a minute, asked for all of two minutes within 12 s of the first and 28 s of the second',
  startsAt: Date.UTC(2026, 10, 24, 18, 0, 48),
  speed: 1,
  seed: 119,
  instances: 4,
  keys: times(20, { limits: { rpm: 15 } }),
  load: [
    { minutes: 12 / 60, perMinute: 2000 },
    { minutes: 28 / 60, perMinute: 1000 },
  ],
  recoversAt: [12 / 60],
};

/** Thrown away: what it is good for is that everything has been compiled before the others start. */
export const WARM_UP: Scenario = {
  ...mixed,
  title: 'warm-up',
  seed: 1,
  load: [{ minutes: 3, perMinute: 100 }],
};

export const SCENARIOS: readonly Scenario[] = [
  bursts,
  spentDay,
  mixed,
  everythingSpent,
  slowAnswers,
  slowSpike,
  midnight,
  shared,
  unlabelled,
  spentModel,
  hanging,
  slowKeys,
  broken,
  slowModel,
  oversized,
  unexplained,
  tokenLimits,
  pacedBursts,
  instances,
];

function everyThird(kind: 'overloaded') {
  return { kind: 'flaky', every: 3, fault: { kind } } as const;
}

function inThreeProjects(isLabelled: boolean): readonly ScenarioKey[] {
  return Array.from({ length: 12 }, (_, index) => ({
    limits: { rpm: 15 },
    project: `project-${(index % 3) + 1}`,
    isLabelled,
  }));
}

function withFaults(faults: readonly (Fault | null)[]): readonly ScenarioKey[] {
  return faults.map((fault) => ({
    limits: { rpm: 100 },
    ...(fault === null ? {} : { faults: [{ fault }] }),
  }));
}
