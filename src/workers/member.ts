import cluster from 'node:cluster';
import type { Clock } from '../shared/clock.ts';
import type { Peer } from './desk.ts';
import { rescueConnections } from './handover.ts';
import type { FromPrimary, FromWorker } from './messages.ts';

/** Longer than any start takes, also on a machine that is busy with many. */
const START_LIMIT_MS = 60_000;

export interface End {
  readonly code: number | null;
  readonly signal: string | null;
}

/** A worker, as the primary sees it. */
export interface Member extends Peer {
  readonly bornAt: number;
  /** The port, once it listens; null when it has ended before, or took too long and was killed. */
  readonly listening: Promise<number | null>;
  readonly gone: Promise<End>;
  /** Lets every answer out, then ends; once `limitMs` have passed it is killed. */
  letGo(farewellMs: number, limitMs: number): void;
  kill(): void;
  /** Whether new connections go to it. */
  isAccepting(): boolean;
}

export interface Birth {
  readonly clock: Clock;
  receive(from: Member, message: FromWorker): void;
  /** Whether another worker could take over what this one leaves. */
  isAnotherListening(): boolean;
}

/** Starts a process like this one; `cluster.setupPrimary` says how. */
export function forkMember({ clock, receive, isAnotherListening }: Birth): Member {
  const worker = cluster.fork();
  rescueConnections(worker.process, { clock, isAnotherListening });
  let hasListened = false;
  let isLeaving = false;
  const gone = new Promise<End>((resolve) => {
    worker.once('exit', (code: number | null, signal: string | null) => resolve({ code, signal }));
    // A process that could not be started at all never exits.
    worker.on('error', () => {
      if (worker.process.pid === undefined) resolve({ code: null, signal: null });
    });
  });
  const kill = () => void worker.process.kill('SIGKILL');
  const limit = clock.after(START_LIMIT_MS, kill);
  const listening = new Promise<number | null>((resolve) => {
    worker.once('listening', ({ port }) => {
      limit.cancel();
      hasListened = true;
      resolve(port);
    });
    void gone.then(() => {
      limit.cancel();
      resolve(null);
    });
  });
  const send = (message: FromPrimary) => {
    // It may end while we speak.
    if (worker.isConnected()) worker.process.send(message, undefined, undefined, () => {});
  };
  const member: Member = {
    id: worker.id,
    bornAt: clock.now(),
    listening,
    gone,
    hasListened: () => hasListened,
    isAccepting: () => hasListened && !isLeaving && worker.isConnected(),
    send,
    kill,
    letGo(farewellMs, limitMs) {
      isLeaving = true;
      if (!hasListened) return kill();
      send({ kind: 'leave', farewellMs });
      const patience = clock.after(limitMs, kill);
      void gone.then(() => patience.cancel());
    },
  };
  worker.on('message', (message: FromWorker) => receive(member, message));
  return member;
}
