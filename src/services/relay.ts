import { breakOff, refusalIn } from '../failover/conclusion.ts';
import type { Failover } from '../failover/failover.ts';
import type { Answer, Caller } from '../failover/failover-request.ts';
import { ServiceError } from '../failover/service-error.ts';
import type { Operation } from '../failover/trace.ts';
import type {
  RelayGemini,
  RelayHead,
  RelayPiece,
  RelayRequest,
} from '../providers/gemini/gemini-relay.ts';
import type { ApiKey } from '../shared/api-key.ts';
import { type ProviderWords, UpstreamError } from '../shared/failure.ts';
import type { RequestShape } from '../shared/request-shape.ts';
import { modelOf, type Target, targetWhere } from '../shared/target.ts';
import { begun } from './begun.ts';
import { ModelSearch } from './model-search.ts';
import { OwnerSearch, type ResourceOwners } from './resource-owners.ts';

/** Counting tokens and listing models need no thought: what takes longer hangs. */
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
  /** The model that is named, if any. */
  readonly model: string | null;
  /** Whether it uses the model's quota. */
  readonly isMetered: boolean;
  /** Whether the answer begins only when it is complete. */
  readonly comesWhole: boolean;
  /** Cached contents and uploaded files that are named. */
  readonly resources: readonly string[];
  /** What Google may refuse for the request's own sake. */
  readonly shape: () => RequestShape;
}

/** Google's answer that has begun, or its refusal of a request that is at fault itself. */
export type RelayAnswer =
  | {
      readonly kind: 'answer';
      readonly head: RelayHead;
      /** Throws a ServiceError when it breaks off; Google's own words, if it said any, are in its cause. */
      readonly pieces: AsyncIterableIterator<RelayPiece, void>;
    }
  | { readonly kind: 'refusal'; readonly refusal: ProviderWords };

/**
 * Sends a request in Gemini's own protocol through the pool: until the first bytes of the answer
 * another key may step in.
 *
 * @throws ServiceError when nothing could answer
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
    const searches = {
      owners: new OwnerSearch(owners, call.resources),
      models: new ModelSearch(),
    };
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

/** What one request learns on its way through the keys. */
interface Searches {
  readonly owners: OwnerSearch;
  readonly models: ModelSearch;
}

/** Which keys, and what their answer proves. */
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

/** @returns Google's own words to a caller who is at fault; throws when it is not the caller's fault */
function refusalFor(error: unknown, { owners, models }: Searches): ProviderWords {
  const isNobodys = error instanceof ServiceError && error.code === 'model_unavailable';
  const refusal = error instanceof UpstreamError ? error.refusal : refusedWith(error);
  const words = refusal ?? (isNobodys ? (owners.giveUp() ?? models.refusal) : null);
  if (words === null) throw error;
  return words;
}

const refusedWith = (error: unknown) => (error instanceof ServiceError ? refusalIn(error) : null);

async function begin({ chunks }: Answer<RelayPiece>): Promise<RelayAnswer> {
  const first = await chunks.next();
  const head = first.done ? null : first.value.head;
  if (head === null) throw new Error('an answer without a head');
  return { kind: 'answer', head, pieces: begun(first, chunks, breakOff) };
}

const notServed = (model: string, models: readonly string[]) =>
  new ServiceError(
    'model_unavailable',
    `models/${model.slice(0, 100)} is not served. Ask for one of: ${models.join(', ')}.`,
  );
