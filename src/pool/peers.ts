import type { CandidateSets, Roster } from './candidate-set.ts';
import { endProbeElsewhere, type ProbeRequest } from './half-open.ts';
import type { OthersUse, Quota } from './pacing.ts';
import { nameOf, type PoolContext, type Scope, type SharedHealth, type Subject } from './scope.ts';

/** The other instances that use the same keys. The pool waits for neither call. */
export interface Peers {
  /** A scope has changed by a finding of this instance or by its operator. */
  found(scope: Scope): void;
  /** Must answer with `allow` or `deny`, at once or later. */
  ask(request: ProbeRequest): void;
  /** This instance has used a quota, or learned its limits. */
  used(quota: Quota): void;
}

/** The pool's quotas, for what instances share. */
export interface SharedQuotas {
  /** @returns null where there is none for this scope */
  find(scope: Scope): Quota | null;
  merge(quota: Quota, use: OthersUse): void;
}

export function createSharedQuotas(roster: Roster, context: PoolContext): SharedQuotas {
  const candidates = perVersion(
    roster,
    (sets) =>
      new Map(
        [...sets.values()]
          .flatMap((set) => set.candidates)
          .map((candidate) => [candidate.quota.scope, candidate]),
      ),
  );
  return {
    find: (scope) => candidates().get(scope)?.quota ?? null,
    merge(quota, use) {
      const wasFull = quota.fullUntil(use.now) > use.now;
      quota.merge(use);
      candidates().get(quota.scope)?.set.quotaChanged(quota);
      if (wasFull !== quota.fullUntil(use.now) > use.now) context.changed(quota.scope);
    },
  };
}

/** Derived from the sets. It is derived again at the first use after a change of the keys. */
function perVersion<T>(roster: Roster, make: (sets: CandidateSets) => T): () => T {
  let made: { readonly version: number; readonly value: T } | null = null;
  return () => {
    const { version, sets } = roster;
    if (made?.version !== version) made = { version, value: make(sets) };
    return made.value;
  };
}

/** The pool's scopes, for what instances share. */
export interface SharedScopes {
  /** @returns null when this instance has no such key, project or target */
  find(subject: Subject): Scope | null;
  all(): Iterable<Scope>;
  /** @returns whether anything changed */
  merge(scope: Scope, known: SharedHealth): boolean;
  /** Another instance no longer probes it. */
  probeEnded(scope: Scope): void;
}

export function createSharedScopes(roster: Roster, context: PoolContext): SharedScopes {
  const scopes = perVersion(roster, indexScopes);
  return {
    find: (subject) => scopes().get(nameOf(subject)) ?? null,
    all: () => scopes().values(),
    merge(scope, known) {
      // Parks of features are not shared, but a release by the operator opens them in every instance.
      if (isRelease(scope, known)) {
        for (const { key, set } of roster.keys.get(scope.subject?.of ?? '')?.candidates ?? []) {
          set.features.release(key.project);
        }
      }
      context.mergeEvent(Math.max(known.openedAt, known.found?.finding.foundAt ?? 0));
      const hasChanged = scope.merge(known, context.now());
      if (hasChanged) context.changed(scope);
      return hasChanged;
    },
    probeEnded: (scope) => endProbeElsewhere(scope, context),
  };
}

const isRelease = ({ subject, sharedHealth: before }: Scope, { openedAt, found }: SharedHealth) =>
  subject?.kind === 'operator' && found === null && openedAt > before.openedAt;

function indexScopes(sets: CandidateSets): ReadonlyMap<string, Scope> {
  const index = new Map<string, Scope>();
  const candidates = [...sets.values()].flatMap((set) => set.candidates);
  for (const scope of candidates.flatMap(({ allScopes }) => allScopes)) {
    if (scope.subject !== null) index.set(nameOf(scope.subject), scope);
  }
  return index;
}
