import type { HeldKey } from '../key-ring.ts';
import type { Reply } from '../reply.ts';
import { cachedContentGone, fileGone } from './other-refusals.ts';
import type { StoredResources } from './stored-resources.ts';

/** @returns null when the key's project owns everything that is used, else Google's refusal. */
export type Ownership = (used: StoredResources, key: HeldKey) => Reply | null;

/** What one key of a project lists, all of them may use. */
export function createOwnership(keys: readonly HeldKey[]): Ownership {
  const owned = ownedByProject(keys);
  return ({ cachedContent, files }, { project }) => {
    const isForeign = (name: string) => owned.get(project)?.has(name) !== true;
    if (cachedContent !== null && isForeign(cachedContent)) return cachedContentGone();
    const foreignFile = files.find(isForeign);
    return foreignFile === undefined ? null : fileGone(foreignFile);
  };
}

function ownedByProject(keys: readonly HeldKey[]): ReadonlyMap<string, ReadonlySet<string>> {
  const owned = new Map<string, Set<string>>();
  for (const { project, shape } of keys) {
    const names = owned.get(project) ?? new Set();
    for (const name of shape.resources ?? []) names.add(name);
    owned.set(project, names);
  }
  return owned;
}
