import type { ProviderName } from '../shared/api-key.ts';
import type { Candidate } from './candidate.ts';
import type { CandidateSets } from './candidate-sets.ts';
import { countKeys, type KeyCounts } from './counts.ts';
import type { Cause } from './health.ts';
import { factsOf, type KeyFacts } from './key-facts.ts';
import { describeCandidate, type KeyState } from './key-state.ts';

/** A pool may hold a hundred thousand keys. */
const MAX_LOOKED_AT = 1000;

/** What can be asked of a pool without changing anything in it. */
export interface Inspection {
  /** How many keys there are, and how they stand for this target, by its label; by default for the provider's first. */
  counts(provider: ProviderName, target?: string): KeyCounts;
  /** How each key stands for this target, in the order of the keys. */
  states(provider: ProviderName, target: string): readonly KeyState[];
  /** The keys that a selection passes over just now, and why: at most `limit`, of the first thousand. */
  skipped(provider: ProviderName, target: string, limit: number): readonly KeyState[];
  /** @returns null when there is no such key or target */
  facts(provider: ProviderName, target: string, id: string): KeyFacts | null;
  /** The first of those that come back by themselves; null when none is cooling down. */
  nextToReturn(provider: ProviderName, target: string): KeyState | null;
  /** Why keys cannot be had, and how many for each reason. */
  causes(provider: ProviderName, target: string): Readonly<Partial<Record<Cause, number>>>;
  /** Leases that have not ended yet. */
  inFlight(provider: ProviderName): number;
}

export function createInspection(
  lanes: CandidateSets,
  entriesOf: (id: string) => readonly Candidate[],
  now: () => number,
): Inspection {
  const entries = (provider: ProviderName, target?: string): readonly Candidate[] => {
    for (const [one, { candidates }] of lanes) {
      if (one.provider === provider && (target ?? one.label) === one.label) return candidates;
    }
    return [];
  };
  return {
    counts: (provider, target) => countKeys(entries(provider, target), now()),
    states(provider, target) {
      const at = now();
      return entries(provider, target).map((entry) => describeCandidate(entry, at));
    },
    skipped(provider, target, limit) {
      const at = now();
      const states: KeyState[] = [];
      for (const entry of entries(provider, target).slice(0, MAX_LOOKED_AT)) {
        if (states.length >= limit) break;
        const state = describeCandidate(entry, at);
        if (state.state !== 'available') states.push(state);
      }
      return states;
    },
    facts(provider, target, id) {
      const siblings = entriesOf(id);
      const entry = siblings.find(
        ({ key, set }) => key.provider === provider && set.target.label === target,
      );
      return entry === undefined ? null : factsOf(entry, siblings, now());
    },
    nextToReturn(provider, target) {
      const at = now();
      let next: KeyState | null = null;
      for (const entry of entries(provider, target)) {
        const state = describeCandidate(entry, at);
        const isSooner = (state.until ?? at) < (next?.until ?? Number.POSITIVE_INFINITY);
        if (state.state === 'cooling_down' && isSooner) next = state;
      }
      return next;
    },
    causes(provider, target) {
      const at = now();
      const causes: Partial<Record<Cause, number>> = {};
      for (const entry of entries(provider, target)) {
        const { cause } = describeCandidate(entry, at);
        if (cause !== undefined) causes[cause] = (causes[cause] ?? 0) + 1;
      }
      return causes;
    },
    inFlight: (provider) => entries(provider).reduce((sum, { use }) => sum + use.inFlight, 0),
  };
}
