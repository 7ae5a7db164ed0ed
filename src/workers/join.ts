import cluster from 'node:cluster';
import type { Clock } from '../shared/clock.ts';
import { createHub, type Hub } from './hub.ts';
import type { FromPrimary } from './messages.ts';
import { SETTINGS_TOPIC } from './settings-topic.ts';

/** The settings are there as soon as the primary has a moment. */
const SETTINGS_LIMIT_MS = 30_000;

export interface Membership {
  readonly hub: Hub;
  /** This worker's, never used twice under one primary. */
  readonly number: number;
  /** What the primary has read for all: the environment, `.env` included. */
  settings(): Promise<unknown>;
  /** The primary lets this worker go, or is gone itself. It may be told more than once. */
  onLeave(listener: (why: string, farewellMs: number) => void): void;
}

/**
 * A worker's way in, to be called once, before anything is awaited.
 *
 * @throws where no primary has started this process
 */
export function joinPrimary(clock: Clock): Membership {
  const { worker } = cluster;
  if (worker === undefined || process.send === undefined) {
    throw new Error('Workers are started by their primary: set WORKERS instead.');
  }
  const line = {
    isOpen: () => process.connected,
    send: (message: unknown) => {
      // The primary may go while we speak.
      if (process.connected) process.send?.(message, undefined, undefined, () => {});
    },
  };
  const { hub, receive, cut } = createHub(line, clock);
  const { leave, onLeave } = createLeaving();
  process.on('message', (message: FromPrimary) => {
    if (message.kind !== 'leave') return receive(message);
    leave('the primary says so', message.farewellMs);
  });
  worker.once('disconnect', () => {
    // Else Node would end this process now, with all that it is answering.
    worker.exitedAfterDisconnect = true;
    cut();
    leave('the primary is gone', 0);
  });
  return {
    hub,
    number: worker.id,
    settings: () => hub.call(SETTINGS_TOPIC, null, SETTINGS_LIMIT_MS),
    onLeave,
  };
}

type LeaveListener = Parameters<Membership['onLeave']>[0];

/** Whoever comes to listen late hears it all the same. */
function createLeaving() {
  let said: Parameters<LeaveListener> | null = null;
  const listeners: LeaveListener[] = [];
  return {
    leave(...why: Parameters<LeaveListener>): void {
      said = why;
      for (const listener of listeners) listener(...why);
    },
    onLeave(listener: LeaveListener): void {
      listeners.push(listener);
      if (said !== null) listener(...said);
    },
  };
}
