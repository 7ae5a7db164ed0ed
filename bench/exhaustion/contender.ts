import type { Clock } from '../../src/shared/clock.ts';
import type { Question } from './arrivals.ts';
import type { Scenario } from './scenario.ts';

/** Something that answers requests with the keys of a scenario. */
export interface Contender {
  /** @returns the status that the caller sees */
  ask(question: Question, signal: AbortSignal): Promise<number>;
  stop(): Promise<void>;
}

export interface Surroundings {
  readonly scenario: Scenario;
  readonly clock: Clock;
  /** Of the stand-in. */
  readonly baseUrl: string;
  /** From 0 up, where there are several. */
  readonly instance: number;
}

export type StartContender = (surroundings: Surroundings) => Promise<Contender>;

/** Starts every instance of a scenario; the callers take them in turn. */
export async function startInstances(
  start: StartContender,
  surroundings: Omit<Surroundings, 'instance'>,
): Promise<Contender> {
  const { instances: count = 1 } = surroundings.scenario;
  const instances = await Promise.all(
    Array.from({ length: count }, (_, instance) => start({ ...surroundings, instance })),
  );
  let turn = 0;
  return {
    async ask(question, signal) {
      const instance = instances[turn++ % count];
      return instance === undefined ? 0 : instance.ask(question, signal);
    },
    async stop() {
      await Promise.all(instances.map((instance) => instance.stop()));
    },
  };
}
