import type { ApiKey } from '../shared/api-key.ts';
import type { CandidateSet } from './candidate-set.ts';
import type { DueQueue } from './due-queue.ts';
import type { Reach } from './health.ts';
import type { Ring } from './ring.ts';
import type { Scope } from './scope.ts';

/**
 * One key as a candidate for one model. Its scopes together decide whether it may be leased;
 * the lane keeps it where that decision puts it.
 */
export interface Candidate {
  readonly key: ApiKey;
  readonly set: CandidateSet;
  /** Shared by the key's entries in all lanes. */
  readonly use: KeyUse;
  readonly scopes: CandidateScopes;
  /** All of `scopes`, to walk through. */
  readonly all: readonly Scope[];
  /** Suspicion after upstream trouble: a resting entry may still be leased, as the last resort. */
  readonly rest: Scope;
  /** The pool's counter at the last of the failures in a row that look like upstream trouble; 0 after an answer. */
  failedAt: number;
  /** Of the last of them. */
  failedReach: Reach;
  /** How often the entry was sent to rest since its last success, and the pool's counter at the last time. */
  rests: number;
  restedAt: number;

  /** Kept by the lane: whether all scopes are ready, so that a lease need not look at each. */
  isUntroubled: boolean;
  /** Kept by the lane: neighbours in the ring that holds the entry, if one does. */
  next: Candidate | null;
  previous: Candidate | null;
  ring: Ring | null;
  /** Kept by the lane: the queue that holds the entry, if one does, its place there, and when to look at it again. */
  queue: DueQueue | null;
  queueIndex: number;
  dueAt: number;
}

/** What a key is busy with. */
export interface KeyUse {
  /** Leases that have not ended yet. */
  inFlight: number;
}

export interface CandidateScopes {
  readonly key: Scope;
  readonly key_model: Scope;
  readonly project: Scope;
  readonly project_model: Scope;
  /** What the operator has said of the key: no finding of an attempt's changes it. */
  readonly operator: Scope;
}

type CandidateParts = Pick<Candidate, 'key' | 'set' | 'use' | 'scopes' | 'rest'>;

export function createCandidate({ key, set, use, scopes, rest }: CandidateParts): Candidate {
  const all = [scopes.key, scopes.project, scopes.project_model, scopes.key_model, scopes.operator];
  const entry: Candidate = {
    key,
    set,
    use,
    scopes,
    all,
    rest,
    failedAt: 0,
    failedReach: 'part',
    rests: 0,
    restedAt: 0,
    isUntroubled: true,
    next: null,
    previous: null,
    ring: null,
    queue: null,
    queueIndex: 0,
    dueAt: 0,
  };
  for (const scope of [...all, rest]) scope.candidates.push(entry);
  return entry;
}
