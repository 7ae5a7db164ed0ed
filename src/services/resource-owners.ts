import type { ApiKey } from '../shared/api-key.ts';
import { notOwned, type ProviderWords, UpstreamError } from '../shared/failure.ts';

/** More are not remembered: the oldest is forgotten, and looked for again when it is named. */
const MAX_REMEMBERED = 10_000;
/** So many projects are asked by one request for what nobody knows; the next one goes on from there. */
const MAX_ASKED = 10;

/** What is known of a cached content or an uploaded file, which no other project's key can use. */
interface Known {
  readonly owner: string | null;
  /** Projects that do not own it. */
  readonly strangers: ReadonlySet<string>;
  /** What the last of them said. */
  readonly refusal: ProviderWords | null;
}

export type ResourceOwners = Map<string, Known>;

/** One request's search for the project that owns what it names. */
export class OwnerSearch {
  readonly #owners: ResourceOwners;
  readonly #names: readonly string[];
  readonly #owner: string | null;
  readonly #strangers: Set<string>;
  #refusal: ProviderWords | null;
  #asked = 0;

  constructor(owners: ResourceOwners, names: readonly string[]) {
    const known = names.flatMap((name) => owners.get(name) ?? []);
    this.#owners = owners;
    this.#names = names;
    this.#owner = known.find(({ owner }) => owner !== null)?.owner ?? null;
    this.#strangers = new Set(known.flatMap(({ strangers }) => [...strangers]));
    this.#refusal = known.at(-1)?.refusal ?? null;
  }

  /** Whether there is a reason to try this key. */
  accepts({ project }: ApiKey): boolean {
    return this.#owner === null ? !this.#strangers.has(project) : project === this.#owner;
  }

  /** Google has answered this key: it owns all that was named. */
  found({ project }: ApiKey): void {
    this.#remember({ owner: project, strangers: NOBODY, refusal: null });
  }

  /** Everybody was asked: the next request asks anew. */
  giveUp(): ProviderWords | null {
    this.#forget();
    return this.#refusal;
  }

  /** @returns the failure for the failover: another project may own the resource */
  explain({ project }: ApiKey, error: unknown): unknown {
    if (!(error instanceof UpstreamError) || !isAboutResource(error)) return error;
    if (this.#owner !== null || this.#names.length === 0) {
      this.#forget();
      return error;
    }
    this.#asked += 1;
    this.#strangers.add(project);
    this.#refusal = error.refusal;
    this.#remember({ owner: null, strangers: this.#strangers, refusal: error.refusal });
    return this.#asked >= MAX_ASKED ? error : notOwned(error);
  }

  #remember(known: Known): void {
    for (const name of this.#names) {
      this.#owners.delete(name);
      this.#owners.set(name, known);
    }
    for (const oldest of this.#owners.keys()) {
      if (this.#owners.size <= MAX_REMEMBERED) break;
      this.#owners.delete(oldest);
    }
  }

  #forget(): void {
    for (const name of this.#names) this.#owners.delete(name);
  }
}

const NOBODY: ReadonlySet<string> = new Set();

const isAboutResource = ({ failure }: UpstreamError) =>
  failure.kind === 'request_fault' && failure.about === 'resource';
