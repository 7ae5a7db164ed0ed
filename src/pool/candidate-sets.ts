import type { ApiKey, Service } from '../shared/api-key.ts';
import { createCandidate, type KeyUse } from './candidate.ts';
import { CandidateSet } from './candidate-set.ts';
import type { Subject } from './health.ts';
import { Scope } from './scope.ts';

export type CandidateSets = Readonly<Record<Service, ReadonlyMap<string, CandidateSet>>>;

export interface CandidateSetsOptions {
  readonly keys: readonly ApiKey[];
  readonly models: readonly string[];
  readonly service: Service;
  /** From 0 to 1: where a key has its place; null for in order. */
  readonly random: (() => number) | null;
  /** Whether other processes have to agree to each trial. */
  readonly asksFirst: boolean;
}

/**
 * One lane for each model, over the same keys: what is found about a key or a project is known in
 * every lane, what is found about a model only in its own.
 */
export function createCandidateSets({
  keys,
  models,
  service,
  random,
  asksFirst,
}: CandidateSetsOptions): ReadonlyMap<string, CandidateSet> {
  const table = (kind: Subject['kind'], model: string | null = null) =>
    new ScopeTable((of) => new Scope({ kind, service, of, model }, asksFirst));
  const ofKey = table('key');
  const ofOperator = table('operator');
  const ofProject = table('project');
  const uses = new Map(keys.map(({ id }): [string, KeyUse] => [id, { inFlight: 0 }]));
  const lanes = models.map((model): [string, CandidateSet] => {
    const lane = new CandidateSet(model, random);
    const ofKeyModel = table('key_model', model);
    const ofProjectModel = table('project_model', model);
    for (const key of keys) {
      const scopes = {
        key: ofKey.get(key.id),
        key_model: ofKeyModel.get(key.id),
        project: ofProject.get(key.project),
        project_model: ofProjectModel.get(key.project),
        operator: ofOperator.get(key.id),
      };
      const use = uses.get(key.id) ?? { inFlight: 0 };
      lane.add(createCandidate({ key, set: lane, use, scopes, rest: new Scope() }));
    }
    lane.begin();
    return [model, lane];
  });
  return new Map(lanes);
}

/** Made once for each name, then shared by all who ask for it. */
class ScopeTable {
  readonly #scopes = new Map<string, Scope>();
  readonly #create: (name: string) => Scope;

  constructor(create: (name: string) => Scope) {
    this.#create = create;
  }

  get(name: string): Scope {
    const known = this.#scopes.get(name);
    if (known !== undefined) return known;
    const scope = this.#create(name);
    this.#scopes.set(name, scope);
    return scope;
  }
}
