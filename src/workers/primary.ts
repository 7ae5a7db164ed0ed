import cluster from 'node:cluster';
import type { Clock } from '../shared/clock.ts';
import type { Logger } from '../shared/logger.ts';
import { createCrew } from './crew.ts';
import { createSwitchboard, type Desk } from './desk.ts';
import { createPlace, type Place } from './place.ts';
import { SETTINGS_TOPIC } from './settings-topic.ts';

/** While its follower serves, a worker can wait long for the last request of each kept connection. */
const ROLL_FAREWELL_MS = 5000;

export interface PrimaryOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** What the workers' command line ends in, after the program. */
  readonly args: readonly string[];
  /** A worker that is told to go is killed after it. */
  readonly drainLimitMs: number;
}

/** What all workers are to do. */
export interface Orders {
  /** How many there are to be, at least 1. */
  readonly workers: number;
  /** What each is told when it starts: the environment. */
  readonly settings: unknown;
}

export interface Primary {
  readonly desk: Desk;
  /**
   * To be called once, and first.
   *
   * @returns the port, once all listen; null when the first one ended before it did
   */
  start(orders: Orders): Promise<number | null>;
  /**
   * One worker after another is followed by a new one under these orders, which listens before the old
   * one goes.
   *
   * @returns once all old ones are gone; false when a new one never came to listen: then the others
   *   stay, and the orders from before hold again
   */
  roll(orders: Orders): Promise<boolean>;
  /** Resolves once every worker has let its answers out and ended. */
  stop(farewellMs: number): Promise<void>;
  /** Ends them all at once. */
  kill(): void;
}

/** What starts the workers, keeps their number and lets them go. It serves nobody itself. */
export function createPrimary({ clock, log, args, drainLimitMs }: PrimaryOptions): Primary {
  cluster.schedulingPolicy = cluster.SCHED_RR;
  cluster.setupPrimary({ args: [...args] });
  const switchboard = createSwitchboard();
  const crew = createCrew({ clock, switchboard, drainLimitMs });
  const places: Place[] = [];
  let current: Orders = { workers: 0, settings: null };
  switchboard.desk.handle(SETTINGS_TOPIC, () => current.settings);

  function addPlace(): Place {
    const place = createPlace({ clock, log, crew });
    places.push(place);
    return place;
  }

  async function replaceAll(): Promise<boolean> {
    for (const place of places.slice(0, current.workers)) {
      if (!(await place.replace(ROLL_FAREWELL_MS))) return false;
    }
    while (places.length < current.workers) {
      if (!(await addPlace().open())) return false;
    }
    await closeSurplus();
    return true;
  }

  async function closeSurplus(): Promise<void> {
    const surplus = places.splice(current.workers);
    await Promise.all(surplus.map((place) => place.close(ROLL_FAREWELL_MS)));
  }

  return {
    desk: switchboard.desk,
    async start(orders) {
      current = orders;
      // Alone: what keeps it from listening would keep all, and is said once.
      if (!(await addPlace().open())) return null;
      while (places.length < current.workers) void addPlace().keep();
      const [port = null] = await Promise.all(places.map((place) => place.firstListening));
      return port;
    },
    async roll(orders) {
      const before = current;
      current = orders;
      const isDone = await replaceAll();
      if (isDone) return true;
      current = before;
      await closeSurplus();
      return false;
    },
    async stop(farewellMs) {
      for (const place of places) place.abandon();
      await crew.dissolve(farewellMs);
    },
    kill: crew.killAll,
  };
}
