import type { ApiKey } from '../shared/api-key.ts';
import type { Lane } from './lane.ts';
import type { Scope } from './scope.ts';

/**
 * One key as a candidate for one model. Its four scopes together decide whether it may be leased;
 * the lane keeps it where that decision puts it.
 */
export interface Entry {
  readonly key: ApiKey;
  readonly lane: Lane;
  readonly scopes: EntryScopes;
  /** All of `scopes`, to walk through. */
  readonly all: readonly Scope[];
  /** Suspicion after upstream trouble: a resting entry may still be leased, as the last resort. */
  readonly rest: Scope;
  /** The pool's counter at the last of the failures in a row that look like upstream trouble; 0 after an answer. */
  failedAt: number;
  /** How often the entry was sent to rest since its last success. */
  rests: number;

  /** Kept by the lane: whether all scopes are ready, so that a lease need not look at each. */
  isUntroubled: boolean;
  /** Kept by the lane: neighbours in the ring that holds the entry, if one does. */
  next: Entry | null;
  previous: Entry | null;
  ring: object | null;
  /** Kept by the lane: when to look at the entry again, and its place in the queue (-1: in none). */
  dueAt: number;
  queueIndex: number;
}

export interface EntryScopes {
  readonly key: Scope;
  readonly key_model: Scope;
  readonly project: Scope;
  readonly project_model: Scope;
}

export function createEntry(key: ApiKey, lane: Lane, scopes: EntryScopes, rest: Scope): Entry {
  const all = [scopes.key, scopes.project, scopes.project_model, scopes.key_model];
  const entry: Entry = {
    key,
    lane,
    scopes,
    all,
    rest,
    failedAt: 0,
    rests: 0,
    isUntroubled: true,
    next: null,
    previous: null,
    ring: null,
    dueAt: 0,
    queueIndex: -1,
  };
  for (const scope of [...all, rest]) scope.entries.push(entry);
  return entry;
}
