import type { ApiKey } from '../shared/api-key.ts';
import { type Failure, type Refusal, UpstreamError } from '../shared/failure.ts';

/** More are not remembered: the oldest is forgotten, and looked for again when it is named. */
const MAX_REMEMBERED = 10_000;
/** So many projects are asked by one request for what nobody knows; the next one goes on from there. */
const MAX_ASKED = 10;
/** So many keys are asked about a model before the last one's word is taken for that of all. */
const MAX_KEYS_WITHOUT_MODEL = 3;

/** What is known of a cached content or an uploaded file, which no other project's key can use. */
interface Known {
  readonly owner: string | null;
  /** Projects that do not own it. */
  readonly strangers: ReadonlySet<string>;
  /** What the last of them said. */
  readonly refusal: Refusal | null;
}

export type ResourceOwners = Map<string, Known>;

/** One request's search for the project that owns what it names. */
export class OwnerSearch {
  readonly #owners: ResourceOwners;
  readonly #names: readonly string[];
  readonly #owner: string | null;
  readonly #strangers: Set<string>;
  #refusal: Refusal | null;
  #asked = 0;
  #withoutModel = 0;

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
  giveUp(): Refusal | null {
    this.#forget();
    return this.#refusal;
  }

  /** @returns the failure as the request has to take it: elsewhere the resource may be known */
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
    return this.#asked >= MAX_ASKED ? error : notHere(error);
  }

  /** For a call that uses no quota: that a key lacks the model is nothing to park, and soon the answer. */
  ofNoModel(error: unknown): unknown {
    if (!(error instanceof UpstreamError) || error.failure.kind !== 'model_unavailable')
      return error;
    this.#withoutModel += 1;
    this.#refusal = error.refusal ?? this.#refusal;
    if (this.#withoutModel < MAX_KEYS_WITHOUT_MODEL) return notHere(error);
    const { message, status = 404 } = error.failure;
    const failure: Failure = { kind: 'request_fault', message, status };
    return new UpstreamError(failure, this.#refusal);
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

/** Only about a stored resource is a 403 or a 404 the request's own fault. */
const isAboutResource = ({ failure }: UpstreamError) =>
  failure.kind === 'request_fault' && (failure.status === 403 || failure.status === 404);

/** Nothing is parked, and another key may do. */
const notHere = ({ failure: { message, status = 403 }, refusal }: UpstreamError) =>
  new UpstreamError({ kind: 'model_unavailable', whose: 'caller', message, status }, refusal);
