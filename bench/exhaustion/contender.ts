import type { Clock } from '../../src/shared/clock.ts';
import type { Scenario } from './scenario.ts';

/** Something that answers requests with the keys of a scenario. */
export interface Contender {
  /** @returns the status that the caller sees */
  ask(message: string, signal: AbortSignal): Promise<number>;
  stop(): Promise<void>;
}

export interface Surroundings {
  readonly scenario: Scenario;
  readonly clock: Clock;
  /** Of the stand-in. */
  readonly baseUrl: string;
}

export type StartContender = (surroundings: Surroundings) => Promise<Contender>;
