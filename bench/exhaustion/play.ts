import type { Clock } from '../../src/shared/clock.ts';
import { type Standin, startStandin } from '../../standin/standin.ts';
import { type Arrival, specialArrivalsOf } from './arrivals.ts';
import { type Contender, type StartContender, startInstances } from './contender.ts';
import type { Outcome, Played, PlayedSpecials } from './outcome.ts';
import { createScaledClock } from './scaled-clock.ts';
import {
  answerOf,
  type FaultSpan,
  keyText,
  limitsOf,
  MINUTE,
  modelsOf,
  projectOf,
  type Scenario,
} from './scenario.ts';

/** How long a caller waits for an answer. */
const PATIENCE_MS = 65_000;

/** Plays a scenario against one contender, which has a stand-in and a clock of its own. */
export async function play(
  scenario: Scenario,
  arrivals: readonly Arrival[],
  start: StartContender,
): Promise<Played> {
  const clock = createScaledClock(scenario.startsAt, scenario.speed);
  const standin = await startStandin({
    clock,
    keys: standinKeys(scenario),
    models: modelsOf(scenario),
    answer: answerOf(scenario),
  });
  const contender = await startInstances(start, { scenario, clock, baseUrl: standin.url });
  scheduleFaults(scenario, standin, clock);
  const askAll = (some: readonly Arrival[]) =>
    Promise.all(some.map((arrival) => askAt(arrival, clock, contender)));
  const specialArrivals = specialArrivalsOf(scenario);
  const [outcomes, ofSpecials] = await Promise.all([askAll(arrivals), askAll(specialArrivals)]);
  const specials = specialsOf(scenario, standin, ofSpecials);
  const played = bookOf(scenario, standin, outcomes, specials, arrivals);
  await standin.close();
  await contender.stop();
  return played;
}

const standinKeys = (scenario: Scenario) =>
  scenario.keys.map((key, index) => ({
    key: keyText(index),
    service: 'google' as const,
    project: projectOf(key, index),
    refusesSearch: key.refusesSearch ?? false,
    modelLimits: Object.fromEntries(
      modelsOf(scenario).map((model) => [model, limitsOf(key, model)]),
    ),
  }));

function scheduleFaults({ keys, startsAt }: Scenario, standin: Standin, clock: Clock): void {
  for (const [index, { faults = [] }] of keys.entries()) {
    for (const span of faults) scheduleFault(keyText(index), span);
  }

  function scheduleFault(key: string, { fault, from = 0, to }: FaultSpan): void {
    at(from, () => standin.setFault(key, fault));
    if (to !== undefined) at(to, () => standin.setFault(key, null));
  }

  function at(minutes: number, callback: () => void): void {
    if (minutes === 0) callback();
    else clock.after(startsAt + minutes * MINUTE - clock.now(), callback);
  }
}

async function askAt(arrival: Arrival, clock: Clock, contender: Contender): Promise<Outcome> {
  await new Promise<void>((resolve) => clock.after(arrival.at - clock.now(), resolve));
  const askedAt = clock.now();
  const status = await askPatiently(arrival, clock, contender);
  return { status, askedAt, endedAt: clock.now() };
}

/** @returns 0 when the caller has given up */
async function askPatiently(arrival: Arrival, clock: Clock, contender: Contender): Promise<number> {
  const controller = new AbortController();
  const gaveUp = new Promise<number>((resolve) => {
    controller.signal.addEventListener('abort', () => resolve(0));
  });
  const patience = clock.after(PATIENCE_MS, () => controller.abort());
  const answer = contender.ask(arrival, controller.signal);
  try {
    return await Promise.race([answer.catch(() => 0), gaveUp]);
  } finally {
    patience.cancel();
  }
}

/** Calls of special requests are told by their length, and so is whose call it is. */
function specialsOf(
  { special }: Scenario,
  standin: Standin,
  outcomes: readonly Outcome[],
): PlayedSpecials | null {
  if (special === undefined) return null;
  const lengths = standin.calls.map(({ bodyLength }) => bodyLength);
  const ofSpecials = lengths.filter((length) => length >= special.length);
  const callsByLength = new Map<number, number>();
  for (const length of ofSpecials) callsByLength.set(length, (callsByLength.get(length) ?? 0) + 1);
  return {
    outcomes,
    upstreamCalls: ofSpecials.length,
    mostCalls: Math.max(0, ...callsByLength.values()),
  };
}

function bookOf(
  { keys, watched }: Scenario,
  standin: Standin,
  outcomes: readonly Outcome[],
  specials: PlayedSpecials | null,
  arrivals: readonly Arrival[],
): Played {
  const isInVain = ({ key, status }: Standin['calls'][number]) =>
    watched !== undefined && key === keyText(watched) && status !== 200;
  const calls = keys.reduce((sum, _, index) => sum + standin.callsOf(keyText(index)), 0);
  return {
    outcomes,
    upstreamCalls: calls - (specials?.upstreamCalls ?? 0),
    specials,
    watchedInVain: watched === undefined ? null : standin.calls.filter(isInVain).length,
    latestMs: Math.max(
      ...outcomes.map(({ askedAt }, index) => askedAt - (arrivals[index]?.at ?? 0)),
    ),
  };
}
