import type { ApiKey } from '../shared/api-key.ts';
import { type Refusal, UpstreamError } from '../shared/failure.ts';

/** More are not remembered: the oldest is forgotten, and looked for again when it is named. */
const MAX_REMEMBERED = 10_000;
/** So many projects are asked for a resource that nobody knows, before it counts as nobody's. */
const MAX_ASKED = 10;

/** Which project owns a cached content or an uploaded file: no other project's key can use it. */
export type ResourceOwners = Map<string, string>;

/** One request's search for the project that owns what it names. */
export class OwnerSearch {
  readonly #owners: ResourceOwners;
  readonly #names: readonly string[];
  readonly #owner: string | null;
  readonly #strangers = new Set<string>();
  /** What the last project said that does not own it. */
  refusal: Refusal | null = null;

  constructor(owners: ResourceOwners, names: readonly string[]) {
    this.#owners = owners;
    this.#names = names;
    this.#owner =
      names.map((name) => owners.get(name)).find((owner) => owner !== undefined) ?? null;
  }

  /** Whether there is a reason to try this key. */
  accepts({ project }: ApiKey): boolean {
    return this.#owner === null ? !this.#strangers.has(project) : project === this.#owner;
  }

  /** Google has answered this key: it owns all that was named. */
  found({ project }: ApiKey): void {
    for (const name of this.#names) {
      this.#owners.delete(name);
      this.#owners.set(name, project);
    }
    for (const oldest of this.#owners.keys()) {
      if (this.#owners.size <= MAX_REMEMBERED) break;
      this.#owners.delete(oldest);
    }
  }

  /** @returns the failure as the request has to take it: elsewhere the resource may be known */
  explain({ project }: ApiKey, error: unknown): unknown {
    if (!(error instanceof UpstreamError) || !isAboutResource(error)) return error;
    this.#strangers.add(project);
    this.refusal = error.refusal;
    if (this.#owner !== null) for (const name of this.#names) this.#owners.delete(name);
    const isGivenUp = this.#owner !== null || this.#strangers.size >= MAX_ASKED;
    if (isGivenUp || this.#names.length === 0) return error;
    const { message } = error.failure;
    return new UpstreamError({ kind: 'model_unavailable', whose: 'caller', message, status: 403 });
  }
}

/** Only about a stored resource is a 403 or a 404 the request's own fault. */
const isAboutResource = ({ failure }: UpstreamError) =>
  failure.kind === 'request_fault' && (failure.status === 403 || failure.status === 404);
