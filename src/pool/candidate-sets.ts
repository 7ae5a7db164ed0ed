import type { ApiKey } from '../shared/api-key.ts';
import type { Target } from '../shared/target.ts';
import { createCandidate, type KeyUse } from './candidate.ts';
import { CandidateSet } from './candidate-set.ts';
import type { Subject } from './health.ts';
import { Scope } from './scope.ts';

export type CandidateSets = ReadonlyMap<Target, CandidateSet>;

export interface CandidateSetsOptions {
  readonly keys: readonly ApiKey[];
  readonly targets: readonly Target[];
  /** From 0 to 1: where a key has its place; null for in order. */
  readonly random: (() => number) | null;
  /** Whether other processes have to agree to each trial. */
  readonly asksFirst: boolean;
}

/**
 * One candidate set for each target, over its provider's keys: what is found about a key or a project
 * is known in each of them, what is found about a model only in its own.
 */
export function createCandidateSets(options: CandidateSetsOptions): CandidateSets {
  const { keys, targets, random, asksFirst } = options;
  const scopes = new ScopeTable(asksFirst);
  const uses = new Map(keys.map(({ id }): [string, KeyUse] => [id, { inFlight: 0 }]));
  const createSet = (target: Target): CandidateSet => {
    const set = new CandidateSet(target, random);
    for (const key of keys) {
      if (key.provider !== target.provider) continue;
      const use = uses.get(key.id) ?? { inFlight: 0 };
      const ofKey = scopes.of(key, target);
      set.add(createCandidate({ key, set, use, scopes: ofKey, rest: new Scope() }));
    }
    set.begin();
    return set;
  };
  return new Map(targets.map((target) => [target, createSet(target)]));
}

/** Creates each scope once; all candidates that it concerns share it. */
class ScopeTable {
  readonly #scopes = new Map<string, Scope>();
  readonly #asksFirst: boolean;

  constructor(asksFirst: boolean) {
    this.#asksFirst = asksFirst;
  }

  of({ id, project, provider }: ApiKey, { label: target }: Target) {
    return {
      key: this.#get({ kind: 'key', provider, of: id, target: null }),
      key_model: this.#get({ kind: 'key_model', provider, of: id, target }),
      project: this.#get({ kind: 'project', provider, of: project, target: null }),
      project_model: this.#get({ kind: 'project_model', provider, of: project, target }),
      operator: this.#get({ kind: 'operator', provider, of: id, target: null }),
    };
  }

  #get(subject: Subject): Scope {
    const { kind, provider, of, target } = subject;
    const name = [kind, provider, of, target].join('\n');
    const known = this.#scopes.get(name);
    if (known !== undefined) return known;
    const scope = new Scope(subject, this.#asksFirst);
    this.#scopes.set(name, scope);
    return scope;
  }
}
