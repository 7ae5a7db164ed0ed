import type { ApiKey, Service } from '../shared/api-key.ts';
import { createEntry, type KeyUse } from './entry.ts';
import { Lane } from './lane.ts';
import { Scope } from './scope.ts';

export type LanesByService = Readonly<Record<Service, ReadonlyMap<string, Lane>>>;

/**
 * One lane for each model, over the same keys: what is found about a key or a project is known in
 * every lane, what is found about a model only in its own.
 */
export function createLanes(
  keys: readonly ApiKey[],
  models: readonly string[],
): ReadonlyMap<string, Lane> {
  const ofKey = new ScopeTable();
  const ofOperator = new ScopeTable();
  const ofProject = new ScopeTable();
  const uses = new Map(keys.map(({ id }): [string, KeyUse] => [id, { inFlight: 0 }]));
  const lanes = models.map((model): [string, Lane] => {
    const lane = new Lane(model);
    const ofProjectModel = new ScopeTable();
    for (const key of keys) {
      const scopes = {
        key: ofKey.get(key.id),
        key_model: new Scope(),
        project: ofProject.get(key.project),
        project_model: ofProjectModel.get(key.project),
        operator: ofOperator.get(key.id),
      };
      const use = uses.get(key.id) ?? { inFlight: 0 };
      lane.add(createEntry({ key, lane, use, scopes, rest: new Scope() }));
    }
    return [model, lane];
  });
  return new Map(lanes);
}

/** Made once for each name, then shared by all who ask for it. */
class ScopeTable {
  readonly #scopes = new Map<string, Scope>();

  get(name: string): Scope {
    const known = this.#scopes.get(name);
    if (known !== undefined) return known;
    const scope = new Scope();
    this.#scopes.set(name, scope);
    return scope;
  }
}
