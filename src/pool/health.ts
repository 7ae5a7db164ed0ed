import type { ProviderName } from '../shared/api-key.ts';
import type { FailureKind } from '../shared/failure.ts';
import type { Effect, ScopeKind } from './verdicts.ts';

/**
 * How much of what a key is for an attempt uses. Minting a token or counting tokens is a `part`: it
 * meets neither spent minutes nor a spent quota, and so its success disproves neither.
 */
export type Reach = 'part' | 'whole';

/** Why something is not ready: what an attempt met, or because the operator said so. */
export type Cause = FailureKind | 'operator';

/** Why a scope is not ready. */
export interface Finding {
  readonly cause: Cause;
  readonly effect: Effect;
  /** Of the attempt that found it. */
  readonly reach: Reach;
  /** Whether it was the provider that said how long. */
  readonly isHinted: boolean;
  /** Since when there was no answer to the contrary: milliseconds since the epoch. */
  readonly since: number;
  /** What it knows of is as new as this event. */
  readonly foundAt: number;
}

/** What a scope is about: by this other processes know it too. */
export interface Subject {
  readonly kind: ScopeKind | 'operator';
  readonly provider: ProviderName;
  /** The id of a key, or a project. */
  readonly of: string;
  /** The label of a target; null where it is about all of them. */
  readonly target: string | null;
}

/** What is known of a scope, as processes tell each other. */
export interface Known {
  /** The event at which it was last opened or released; 0 for never. */
  readonly openedAt: number;
  readonly found: { readonly until: number; readonly finding: Finding } | null;
}

/**
 * The health of a scope. A parked scope whose `until` has passed is half-open with its trial still
 * to be given away; nothing happens at that moment, it is seen when somebody asks.
 */
export type Health =
  | { readonly state: 'ready' }
  | { readonly state: 'parked'; readonly until: number; readonly finding: Finding }
  | {
      readonly state: 'half_open';
      /** The lease that tries, by its number: the one whose outcome opens or parks the scope again. */
      readonly trial: number;
      readonly until: number;
      readonly finding: Finding;
    }
  | {
      /** Another process has the trial, or is asked whether it does. */
      readonly state: 'tried_elsewhere';
      /** When to ask again: milliseconds since the epoch. */
      readonly expiresAt: number;
      readonly until: number;
      readonly finding: Finding;
    };
