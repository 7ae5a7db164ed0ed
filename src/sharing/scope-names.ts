import type { Subject } from '../pool/scope.ts';
import type { ApiKey, ProviderName } from '../shared/api-key.ts';
import { digestOf, type Secret } from '../shared/secret.ts';

/**
 * Names of scopes in the shared store: a hash of the key's text with its provider, so that a replaced key
 * starts fresh, or of its project's label. No name can be turned back into a key.
 */
export function createScopeNames(keys: Iterable<ApiKey>) {
  const hashes: Record<Whose, Map<string, string>> = {
    key: new Map(),
    project: new Map(),
    billing: new Map(),
  };
  const owners: Record<Whose, Map<string, Owner>> = {
    key: new Map(),
    project: new Map(),
    billing: new Map(),
  };
  const add = (whose: Whose, owner: Owner, hash: string) => {
    hashes[whose].set(textOf(owner), hash);
    owners[whose].set(hash, owner);
  };
  for (const { provider, id, project, billing, secret } of keys) {
    const hash = hashOfKey(provider, secret);
    add('key', { provider, of: id }, hash);
    // A key without a label is its own project: replaced, it is another one.
    const ofProject = project === id ? hash : hashOf(provider, 'project', project);
    add('project', { provider, of: project }, ofProject);
    if (billing !== undefined) {
      add('billing', { provider, of: billing }, hashOf(provider, 'billing', billing));
    }
  }
  return {
    /** A scope whose key was removed meanwhile gets a name that no scope has. */
    nameOf({ kind, target, ...owner }: Subject): string {
      const hash = hashes[WHOSE[kind]].get(textOf(owner)) ?? '';
      return target === null ? `${kind}:${hash}` : `${kind}:${hash}:${target}`;
    },
    /** @returns null for a name that is not one of this instance's scopes */
    subjectOf(name: string): Subject | null {
      const [kind = '', hash = '', ...target] = name.split(':');
      if (!isKind(kind)) return null;
      const owner = owners[WHOSE[kind]].get(hash);
      if (owner === undefined) return null;
      return { kind, ...owner, target: target.length === 0 ? null : target.join(':') };
    },
  };
}

type Whose = 'key' | 'project' | 'billing';
type Owner = Pick<Subject, 'provider' | 'of'>;

const WHOSE = {
  key: 'key',
  key_model: 'key',
  operator: 'key',
  project: 'project',
  project_model: 'project',
  billing: 'billing',
} as const satisfies Record<Subject['kind'], Whose>;

const isKind = (text: string): text is Subject['kind'] => Object.hasOwn(WHOSE, text);

const textOf = ({ provider, of }: Owner) => `${provider}\n${of}`;

/** 132 bits of the digest. */
const hashOf = (...parts: readonly string[]) =>
  digestOf(...parts)
    .toString('base64url')
    .slice(0, 22);

/** All names are made again at each change of the keys: there may be thousands. */
const hashesOfKeys = new WeakMap<Secret, string>();

function hashOfKey(provider: ProviderName, secret: Secret): string {
  const hash = hashesOfKeys.get(secret) ?? hashOf(provider, secret.reveal());
  hashesOfKeys.set(secret, hash);
  return hash;
}
