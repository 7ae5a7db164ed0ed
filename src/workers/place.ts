import type { Clock, Timer } from '../shared/clock.ts';
import type { Logger } from '../shared/logger.ts';
import type { Crew } from './crew.ts';
import type { End, Member } from './member.ts';

/** Who dies before this age is followed after a pause that doubles each time. */
const GROWN_UP_MS = 10_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;

export interface PlaceOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly crew: Crew;
}

/** One of the places for a worker: whoever dies in it is followed by another. */
export interface Place {
  /** Resolves with the port as soon as a worker in it listens for the first time. */
  readonly firstListening: Promise<number>;
  /** @returns whether the first worker came to listen; where it did not, nobody follows */
  open(): Promise<boolean>;
  /** The same, but where it did not, others follow until one does. */
  keep(): Promise<boolean>;
  /**
   * Another worker listens, then the one before goes.
   *
   * @returns once that one is gone; false when the new one never came to listen: then the old one stays
   */
  replace(farewellMs: number): Promise<boolean>;
  /** Nobody follows any more. @returns once the last one is gone */
  close(farewellMs: number): Promise<void>;
  /** Nobody follows any more; who is there is left alone. */
  abandon(): void;
}

const pauseAfter = (diedYoung: number) =>
  Math.min(FIRST_PAUSE_MS * 2 ** (diedYoung - 1), LONGEST_PAUSE_MS);

export function createPlace({ clock, log, crew }: PlaceOptions): Place {
  let holder: Member | null = null;
  let pause: Timer | null = null;
  let diedYoung = 0;
  let isAbandoned = false;
  let lastTurn: Promise<unknown> = Promise.resolve();
  let tellFirst: (port: number) => void;
  const firstListening = new Promise<number>((resolve) => {
    tellFirst = resolve;
  });

  /** One after another: a worker that is being replaced may die meanwhile. */
  function inTurn<T>(task: () => Promise<T>): Promise<T> {
    const turn = lastTurn.then(task);
    lastTurn = turn;
    return turn;
  }

  /** @returns whether a new worker has come to listen */
  async function fill(mayFollow: 'others follow' | 'nobody follows'): Promise<boolean> {
    const member = await hire();
    const port = (await member?.listening) ?? null;
    if (member === null || port === null) {
      const end = await member?.gone;
      if (holder === null && mayFollow === 'others follow') follow(member, end);
      return false;
    }
    holder = member;
    void member.gone.then((end) => {
      if (holder !== member) return;
      holder = null;
      follow(member, end);
    });
    tellFirst(port);
    return true;
  }

  /** The system may have no room for another process. */
  async function hire(): Promise<Member | null> {
    try {
      return await crew.hire();
    } catch (err) {
      log.error({ err }, 'no worker could be started');
      return null;
    }
  }

  function follow(dead: Member | null, end: End | undefined): void {
    if (isAbandoned) return;
    const isGrownUp = dead?.hasListened() === true && clock.now() - dead.bornAt >= GROWN_UP_MS;
    diedYoung = isGrownUp ? 0 : diedYoung + 1;
    const pauseMs = isGrownUp ? 0 : pauseAfter(diedYoung);
    log.error(
      { worker: dead?.id, ...end, pauseMs },
      'a worker has ended unexpectedly: another takes its place',
    );
    pause?.cancel();
    pause = clock.after(pauseMs, () => void inTurn(fillIfEmpty));
  }

  const fillIfEmpty = async () => holder !== null || isAbandoned || (await fill('others follow'));

  function abandon(): void {
    isAbandoned = true;
    pause?.cancel();
  }

  return {
    firstListening,
    open: () => inTurn(() => fill('nobody follows')),
    keep: () => inTurn(fillIfEmpty),
    replace: (farewellMs) =>
      inTurn(async () => {
        const before = holder;
        if (isAbandoned || !(await fill('others follow'))) return false;
        if (before !== null) await crew.letGo(before, farewellMs);
        return true;
      }),
    async close(farewellMs) {
      abandon();
      await inTurn(async () => {
        if (holder !== null) await crew.letGo(holder, farewellMs);
      });
    },
    abandon,
  };
}
