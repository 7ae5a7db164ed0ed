import type { ApiKey } from '../shared/api-key.ts';
import type { Candidate, PooledKeys } from './candidate-set.ts';
import type { PoolContext } from './scope.ts';

/** What a person does to a key. It holds at once; reports of older leases change nothing of it. */
export interface Operator {
  /**
   * Opens everything that keeps the key from being leased, its project included, which its siblings share.
   *
   * @returns null when there is no such key
   */
  release(id: string): ApiKey | null;
  /**
   * Takes the key out of rotation; attempts in flight go on.
   *
   * @param ms for how long, unless it is released before
   * @returns null when there is no such key
   */
  park(id: string, ms: number): ApiKey | null;
}

export function createOperator(keys: PooledKeys, context: PoolContext): Operator {
  return {
    release(id) {
      const { key = null, candidates = [] } = keys.get(id) ?? {};
      for (const candidate of candidates) release(candidate, context);
      return key;
    },
    park(id, ms) {
      const [candidate] = keys.get(id)?.candidates ?? [];
      if (candidate === undefined) return null;
      const now = context.now();
      const { operator } = candidate.scopes;
      operator.parkByOperator(context.nextEvent(now), now + ms, now);
      context.found(operator);
      return candidate.key;
    },
  };
}

function release(
  { allScopes, ejection, slowness, set, key }: Candidate,
  context: PoolContext,
): void {
  const now = context.now();
  const event = context.nextEvent(now);
  slowness.released();
  for (const scope of [...allScopes, ejection.scope]) {
    scope.open(event, now);
    context.found(scope);
  }
  set.features.release(key.project);
  ejection.released(event);
}
