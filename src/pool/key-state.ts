import type { Candidate } from './candidate.ts';
import type { Cause, Finding, Health } from './health.ts';
import type { Scope } from './scope.ts';
import type { Effect } from './verdicts.ts';

/** How one key stands for one model, and why. */
export interface KeyState {
  readonly id: string;
  readonly state: 'available' | 'cooling_down' | 'exhausted';
  readonly cause?: Cause;
  /** Milliseconds since the epoch. */
  readonly since?: number;
  readonly until?: number;
  readonly untilBy?: UntilBy;
}

/** The word for an effect in public reports. */
export const countedAs = (effect: Effect) => (effect === 'needs_action' ? 'exhausted' : effect);

/** Who says until when: the provider, the operator, or a rule of ours, by which it is only tried again then. */
export type UntilBy = 'provider' | 'rule' | 'operator';

export function untilBy({ cause, isHinted }: Finding): UntilBy {
  if (cause === 'operator') return 'operator';
  return isHinted ? 'provider' : 'rule';
}

/**
 * Whatever needs somebody to act outweighs what comes back by itself, and stays until a trial has
 * succeeded; a cooldown is over once its time has passed, though one trial at a time has to prove it.
 */
export function describeCandidate(entry: Candidate, now: number): KeyState {
  const { id } = entry.key;
  if (entry.isUntroubled) return { id, state: 'available' };
  const blocking = entry.all.find(needsAction) ?? longestBlocked(entry, now) ?? resting(entry, now);
  if (blocking === null || blocking.health.state === 'ready') return { id, state: 'available' };
  const { effect, cause, since } = blocking.health.finding;
  const end = lastToEnd(blocking.health, longestBlocked(entry, now)?.health);
  return {
    id,
    state: countedAs(effect),
    cause,
    since,
    until: end.until,
    untilBy: untilBy(end.finding),
  };
}

type Troubled = Exclude<Health, { readonly state: 'ready' }>;

/** What somebody has to mend may be kept back for longer by something else. */
const lastToEnd = (gravest: Troubled, longest: Health | undefined): Troubled =>
  longest === undefined || longest.state === 'ready' || longest.until < gravest.until
    ? gravest
    : longest;

/** Whether the scope stays as it is until somebody has acted and a trial has succeeded. */
export const needsAction = ({ health }: Scope) =>
  health.state !== 'ready' && health.finding.effect === 'needs_action';

function longestBlocked(entry: Candidate, now: number): Scope | null {
  let longest: Scope | null = null;
  for (const scope of entry.all) {
    const until = scope.blockedUntil(now);
    if (until > 0 && until > (longest?.blockedUntil(now) ?? 0)) longest = scope;
  }
  return longest;
}

/** Also while it is tried before its time, as the last resort. */
const resting = ({ rest }: Candidate, now: number) =>
  rest.health.state !== 'ready' && rest.health.until > now ? rest : null;
