import type { Clock } from '../shared/clock.ts';
import type { Switchboard } from './desk.ts';
import { forkMember, type Member } from './member.ts';

export interface CrewOptions {
  readonly clock: Clock;
  readonly switchboard: Switchboard;
  /** A worker that is told to go is killed after it. */
  readonly drainLimitMs: number;
}

/** Every worker that lives: starting, serving or on its way out. */
export interface Crew {
  /** Starts one. As long as none serves they start one by one: see below. */
  hire(): Promise<Member>;
  /** @returns once it is gone */
  letGo(member: Member, farewellMs: number): Promise<void>;
  /** Lets all go and hires no more; resolves once all are gone. */
  dissolve(farewellMs: number): Promise<void>;
  killAll(): void;
}

export function createCrew({ clock, switchboard, drainLimitMs }: CrewOptions): Crew {
  const members = new Set<Member>();
  let starting: Member | null = null;
  let isDissolved = false;

  const isAnyAccepting = () => [...members].some((member) => member.isAccepting());

  function fork(): Member {
    const member = forkMember({
      clock,
      receive: switchboard.receive,
      isAnotherListening: isAnyAccepting,
    });
    members.add(member);
    switchboard.admit(member);
    void member.gone.then(() => {
      members.delete(member);
      switchboard.dismiss(member);
    });
    return member;
  }

  /** @returns once one may start */
  async function turnToStart(): Promise<void> {
    while (starting !== null && !isAnyAccepting()) await starting.listening;
  }

  function letGo(member: Member, farewellMs: number): Promise<unknown> {
    member.letGo(farewellMs, drainLimitMs);
    return member.gone;
  }

  return {
    // Of several that wait for one address, Node's cluster module survives only the first to hear
    // that it cannot be had.
    async hire() {
      await turnToStart();
      const member = fork();
      if (isDissolved) member.kill();
      starting = member;
      void member.listening.then(() => {
        if (starting === member) starting = null;
      });
      return member;
    },
    async letGo(member, farewellMs) {
      await letGo(member, farewellMs);
    },
    async dissolve(farewellMs) {
      isDissolved = true;
      await Promise.all([...members].map((member) => letGo(member, farewellMs)));
    },
    killAll() {
      for (const member of members) member.kill();
    },
  };
}
