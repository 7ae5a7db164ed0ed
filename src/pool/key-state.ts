import type { FailureKind } from '../shared/failure.ts';
import type { Entry } from './entry.ts';
import type { Scope } from './scope.ts';
import type { Effect } from './verdicts.ts';

/** How one key stands for one model, and why. */
export interface KeyState {
  readonly id: string;
  readonly state: 'available' | Effect;
  readonly cause?: FailureKind;
  /** Milliseconds since the epoch. */
  readonly since?: number;
  readonly until?: number;
}

/**
 * Whatever needs somebody to act outweighs what comes back by itself, and stays until a trial has
 * succeeded; a cooldown is over once its time has passed, though one trial at a time has to prove it.
 */
export function describeEntry(entry: Entry, now: number): KeyState {
  const blocking =
    entry.all.find(needsSomebody) ?? longestBlocked(entry, now) ?? resting(entry, now);
  const { id } = entry.key;
  if (blocking === null || blocking.health.state === 'ready') return { id, state: 'available' };
  const { finding, until } = blocking.health;
  return { id, state: finding.effect, cause: finding.kind, since: finding.since, until };
}

/** Whether the scope stays as it is until somebody has acted and a trial has succeeded. */
export const needsSomebody = ({ health }: Scope) =>
  health.state !== 'ready' && health.finding.effect === 'exhausted';

function longestBlocked(entry: Entry, now: number): Scope | null {
  let longest: Scope | null = null;
  for (const scope of entry.all) {
    const until = scope.blockedUntil(now);
    if (until > 0 && until > (longest?.blockedUntil(now) ?? 0)) longest = scope;
  }
  return longest;
}

/** Also while it is tried before its time, as the last resort. */
const resting = ({ rest }: Entry, now: number) =>
  rest.health.state !== 'ready' && rest.health.until > now ? rest : null;
