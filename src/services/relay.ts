import type { Answer, Caller, Failover } from '../failover/failover.ts';
import { refusalIn, ServiceError } from '../failover/service-error.ts';
import type { Operation } from '../failover/trace.ts';
import type {
  RelayGemini,
  RelayHead,
  RelayPiece,
  RelayRequest,
} from '../providers/gemini/gemini-relay.ts';
import type { ApiKey } from '../shared/api-key.ts';
import { type Failure, notOwned, type ProviderWords, UpstreamError } from '../shared/failure.ts';
import type { RequestShape } from '../shared/request-shape.ts';
import { modelOf, type Target, targetWhere } from '../shared/target.ts';
import { resumed } from './answer.ts';

/** The provider answers unmetered calls at once; a call that takes longer hangs. */
const UNMETERED_ATTEMPT_MS = 20_000;

export interface RelayOptions {
  readonly failover: Failover;
  readonly relay: RelayGemini;
  /** Gemini's: one for each model that is served, and an unmetered one for counting tokens and listing models. */
  readonly targets: readonly Target[];
}

export interface RelayCall {
  readonly operation: Operation;
  readonly request: RelayRequest;
  readonly model: string | null;
  readonly isMetered: boolean;
  /** Whether the answer begins only when it is complete. */
  readonly comesWhole: boolean;
  /** The cached contents and uploaded files in the request. */
  readonly resources: readonly string[];
  readonly shape: () => RequestShape;
}

/** Google's answer from its first bytes on, or its refusal of a faulty request. */
export type RelayAnswer =
  | {
      readonly kind: 'answer';
      readonly head: RelayHead;
      /** Throws a ServiceError when the answer breaks off; Google's own words, if any, are in its cause. */
      readonly pieces: AsyncIterableIterator<RelayPiece, void>;
    }
  | { readonly kind: 'refusal'; readonly refusal: ProviderWords };

/**
 * Sends a request in Gemini's own protocol through the pool. Until the first bytes of the answer another key
 * may take over.
 *
 * @throws ServiceError when no key could answer
 */
export type Relay = (call: RelayCall, caller: Caller) => Promise<RelayAnswer>;

export function createRelay({ failover, relay, targets }: RelayOptions): Relay {
  const models = targets.filter(({ model }) => model !== null);
  const unmetered = targetWhere(targets, ({ metered }) => !metered);
  const owners: ResourceOwners = new Map();
  return async (call, caller) => {
    const { model, isMetered } = call;
    const target = models.find((one) => one.model === model);
    if (model !== null && target === undefined) throw notServed(model, models.map(modelOf));
    const searches = { owners: new OwnerSearch(owners, call.resources), models: new ModelSearch() };
    try {
      return await failover({
        operation: call.operation,
        targets: [isMetered && target !== undefined ? target : unmetered],
        caller,
        ...termsOf(call, searches.owners),
        open: ({ key }, signal) => relayOnce(relay(key, call.request, signal), key, call, searches),
        isLast: () => false,
        commit: begin,
      });
    } catch (error) {
      return { kind: 'refusal', refusal: refusalFor(error, searches) };
    }
  };
}

/** What one request finds out from key to key. */
interface Searches {
  readonly owners: OwnerSearch;
  readonly models: ModelSearch;
}

function termsOf({ isMetered, comesWhole, resources, shape }: RelayCall, owners: OwnerSearch) {
  return {
    comesWhole,
    shape,
    reach: isMetered ? ('whole' as const) : ('part' as const),
    ...(isMetered ? {} : { attemptTimeoutMs: UNMETERED_ATTEMPT_MS }),
    ...(resources.length === 0 ? {} : { only: (key: ApiKey) => owners.accepts(key) }),
  };
}

async function* relayOnce(
  pieces: AsyncGenerator<RelayPiece, void, undefined>,
  key: ApiKey,
  { isMetered }: RelayCall,
  { owners, models }: Searches,
): AsyncGenerator<RelayPiece, void, undefined> {
  try {
    for await (const piece of pieces) {
      if (piece.head !== null) owners.found(key);
      yield piece;
    }
  } catch (error) {
    throw owners.explain(key, isMetered ? error : models.explain(error));
  }
}

/** @returns Google's own words for a faulty request; throws the error when the fault is not the request's */
function refusalFor(error: unknown, { owners, models }: Searches): ProviderWords {
  const isUnavailable = error instanceof ServiceError && error.code === 'model_unavailable';
  const refusal = error instanceof UpstreamError ? error.refusal : refusedWith(error);
  const words = refusal ?? (isUnavailable ? (owners.giveUp() ?? models.refusal) : null);
  if (words === null) throw error;
  return words;
}

const refusedWith = (error: unknown) => (error instanceof ServiceError ? refusalIn(error) : null);

async function begin({ chunks }: Answer<RelayPiece>): Promise<RelayAnswer> {
  const first = await chunks.next();
  const head = first.done ? null : first.value.head;
  if (head === null) throw new Error('an answer without a head');
  return { kind: 'answer', head, pieces: resumed(first, chunks) };
}

const notServed = (model: string, models: readonly string[]) =>
  new ServiceError(
    'model_unavailable',
    `models/${model.slice(0, 100)} is not served. Ask for one of: ${models.join(', ')}.`,
  );

/** This many keys may deny a model before the request is refused. */
const MAX_KEYS_WITHOUT_MODEL = 3;

/**
 * For a call that uses no quota and so parks nothing: without a limit each such call would ask every key
 * for a model that none has.
 */
class ModelSearch {
  /** From the last key that lacks the model. */
  refusal: ProviderWords | null = null;
  #asked = 0;

  /** @returns the failure as failover has to treat it */
  explain(error: unknown): unknown {
    if (!(error instanceof UpstreamError) || error.failure.kind !== 'model_unavailable')
      return error;
    this.#asked += 1;
    this.refusal = error.refusal;
    const { message } = error.failure;
    const failure: Failure =
      this.#asked < MAX_KEYS_WITHOUT_MODEL
        ? { kind: 'model_unavailable', whose: null, message }
        : { kind: 'request_fault', message };
    return new UpstreamError(failure, error.refusal);
  }
}

/** The owners of this many resources are remembered; the oldest is forgotten and searched again. */
const MAX_RESOURCES = 10_000;
/** One request asks at most this many projects for an unknown resource; the next request continues from there. */
const MAX_PROJECTS = 10;

/** The known owner of a cached content or an uploaded file. Only keys of the owning project can use it. */
interface Ownership {
  readonly owner: string | null;
  /** Projects that do not own it. */
  readonly strangers: ReadonlySet<string>;
  /** From the last stranger. */
  readonly refusal: ProviderWords | null;
}

/** By the resource's name, the oldest first. */
export type ResourceOwners = Map<string, Ownership>;

/** One request's search for the project that owns the resources in it. */
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

  /** Whether this key may be of the owner. */
  accepts({ project }: ApiKey): boolean {
    return this.#owner === null ? !this.#strangers.has(project) : project === this.#owner;
  }

  /** Google has answered with this key. */
  found({ project }: ApiKey): void {
    this.#remember({ owner: project, strangers: new Set(), refusal: null });
  }

  /** Every project was asked: the next request starts again. */
  giveUp(): ProviderWords | null {
    this.#forget();
    return this.#refusal;
  }

  /** @returns the failure as failover has to treat it */
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
    return this.#asked >= MAX_PROJECTS ? error : notOwned(error);
  }

  #remember(known: Ownership): void {
    for (const name of this.#names) {
      this.#owners.delete(name);
      this.#owners.set(name, known);
    }
    for (const oldest of this.#owners.keys()) {
      if (this.#owners.size <= MAX_RESOURCES) break;
      this.#owners.delete(oldest);
    }
  }

  #forget(): void {
    for (const name of this.#names) this.#owners.delete(name);
  }
}

const isAboutResource = ({ failure }: UpstreamError) =>
  failure.kind === 'request_fault' && failure.about === 'resource';
