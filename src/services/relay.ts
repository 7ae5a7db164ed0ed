import type { AnsweredBy, AnswerReader, Caller, Failover, Run } from '../failover/failover.ts';
import { otherModelNeeded, refusalIn, ServiceError } from '../failover/service-error.ts';
import type { Operation } from '../failover/trace.ts';
import type {
  RelayClient,
  RelayHead,
  RelayPiece,
  RelayRequest,
} from '../providers/gemini/gemini-relay.ts';
import type { AnswerEnd } from '../providers/provider.ts';
import type { ApiKey, ProviderName } from '../shared/api-key.ts';
import { type Failure, notOwned, type ProviderWords, UpstreamError } from '../shared/failure.ts';
import type { RequestShape } from '../shared/request-shape.ts';
import { modelOf, servedModels, type Target, targetWhere } from '../shared/target.ts';

export interface RelayOptions {
  readonly failover: Failover;
  readonly clients: ReadonlyMap<ProviderName, RelayClient>;
  /** Gemini's: one for each model that is served, and an unmetered one for counting tokens and listing models. */
  readonly targets: readonly Target[];
  /** The names of their models, by alias. */
  readonly aliases: ReadonlyMap<string, string>;
}

export interface RelayCall {
  readonly operation: Operation;
  readonly request: RelayRequest;
  /** The same request for the model of an alias. */
  readonly requestFor: (model: string) => RelayRequest;
  /** As the caller names it. A description may be of any of Google's models, every other call is for a served one. */
  readonly model: string | null;
  readonly isMetered: boolean;
  /** Whether the answer begins only when it is complete. */
  readonly comesWhole: boolean;
  /** The cached contents and uploaded files in the request. */
  readonly resources: readonly string[];
  readonly shape: () => RequestShape;
}

/** Gets Google's answer. */
export interface RelayWriter {
  /** Called once, before anything else. After `write` has returned false, `resume` asks for more. */
  begin(head: RelayHead, resume: () => void): void;
  /** @returns false to get no more until it calls `resume` */
  write(bytes: Buffer): boolean;
  end(): void;
}

/**
 * Sends a request in Gemini's own protocol through the pool. Until the first bytes of the answer another key
 * may take over.
 *
 * @returns null when the writer has got the answer, else Google's refusal of a faulty request
 * @throws ServiceError when no key could answer, and when the answer breaks off: Google's own words, if any, are
 *   in its cause then
 */
export type Relay = (
  call: RelayCall,
  caller: Caller,
  writer: RelayWriter,
) => Promise<ProviderWords | null>;

export function createRelay({ failover, clients, targets, aliases }: RelayOptions): Relay {
  const models = targets.filter(({ model }) => model !== null);
  const unmetered = targetWhere(targets, ({ use }) => use === 'free');
  const findModel = createModelFinder(models, aliases);
  const owners: ResourceOwners = new Map();
  return (call, caller, writer) =>
    new Promise((resolve, reject) => {
      const model = findModel(call);
      const reader = new RelayReader(call, owners, writer, resolve, reject);
      const { reach, attemptTimeoutMs } = call.isMetered ? METERED : UNMETERED;
      reader.run = failover(
        {
          operation: call.operation,
          targets: [call.isMetered && model !== null ? model : unmetered],
          about: model?.model ?? null,
          caller,
          clients,
          question: questionFor(call, model),
          isStreamed: true,
          comesWhole: call.comesWhole,
          mayHedge: call.isMetered && call.resources.length === 0,
          shape: call.shape,
          explain: (error, key) => reader.explain(error, key),
          reach,
          attemptTimeoutMs,
          only: reader.only,
        },
        reader,
      );
    });
}

const METERED = { reach: 'whole', attemptTimeoutMs: Number.POSITIVE_INFINITY } as const;
/** The provider answers such calls at once; a call that takes longer hangs. */
const UNMETERED = { reach: 'part', attemptTimeoutMs: 20_000 } as const;

function createModelFinder(models: readonly Target[], aliases: RelayOptions['aliases']) {
  const served = servedModels(models, aliases);
  return function findModel({ model, operation }: RelayCall): Target | null {
    const [target = null] = served.get(model ?? '') ?? [];
    if (model === null || operation === 'list_models') return target;
    const fits = FITS[operation] ?? isAny;
    if (target !== null && fits(target)) return target;
    const names = [...served].filter(([, [one]]) => fits(one)).map(([name]) => name);
    throw otherModelNeeded(
      `models/${model.slice(0, 100)} is not served${USES[operation] ?? ''}`,
      names,
    );
  };
}

const questionFor = (call: RelayCall, model: Target | null): RelayRequest =>
  model === null || model.model === call.model ? call.request : call.requestFor(modelOf(model));

const isAny = () => true;

const USES: Partial<Record<Operation, string>> = { embeddings: ' for embeddings' };

/** Tokens may be counted for every served model. */
const FITS: Partial<Record<Operation, (target: Target) => boolean>> = {
  generate_content: ({ use }) => use === 'chat',
  embeddings: ({ use }) => use === 'embeddings',
};

/** Hands the answer on, and finds out from key to key whose resources and models are asked for. */
class RelayReader implements AnswerReader<RelayPiece, AnswerEnd> {
  run: Run | null = null;
  readonly #owners: OwnerSearch | null;
  readonly #models: ModelSearch | null;
  readonly #writer: RelayWriter;
  readonly #resolve: (refusal: ProviderWords | null) => void;
  readonly #reject: (error: unknown) => void;
  #hasBegun = false;

  constructor(
    { resources, isMetered }: RelayCall,
    owners: ResourceOwners,
    writer: RelayWriter,
    resolve: (refusal: ProviderWords | null) => void,
    reject: (error: unknown) => void,
  ) {
    this.#owners = resources.length === 0 ? null : new OwnerSearch(owners, resources);
    this.#models = isMetered ? null : new ModelSearch();
    this.#writer = writer;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** The keys that may serve the request; undefined for any. */
  get only(): ((key: ApiKey) => boolean) | undefined {
    const owners = this.#owners;
    return owners === null ? undefined : (key) => owners.accepts(key);
  }

  onAttempt(): void {}

  onChunk({ head, bytes }: RelayPiece, { key }: AnsweredBy): boolean {
    if (head !== null) {
      this.#hasBegun = true;
      this.#owners?.found(key);
      this.#writer.begin(head, () => this.run?.resume());
    }
    return this.#writer.write(bytes);
  }

  onEnd(): void {
    this.#writer.end();
    this.#resolve(null);
  }

  onError(error: unknown): void {
    const words = this.#hasBegun ? null : this.#refusalFor(error);
    if (words === null) this.#reject(error);
    else this.#resolve(words);
  }

  /** @returns the failure as failover has to treat it */
  explain(error: UpstreamError, key: ApiKey): UpstreamError {
    const explained = this.#models?.explain(error) ?? error;
    return this.#owners?.explain(key, explained) ?? explained;
  }

  /** @returns Google's own words for a faulty request; null when the fault is not the request's */
  #refusalFor(error: unknown): ProviderWords | null {
    if (error instanceof UpstreamError) return error.refusal;
    if (!(error instanceof ServiceError)) return null;
    const words = refusalIn(error);
    if (words !== null || error.code !== 'model_unavailable') return words;
    return this.#owners?.giveUp() ?? this.#models?.refusal ?? null;
  }
}

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
  explain(error: UpstreamError): UpstreamError {
    if (error.failure.kind !== 'model_unavailable') return error;
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

/** A file's name or address; files elsewhere belong to no project. */
const FILE = /^(?:https:\/\/[^/]+\/v\w+\/)?(files\/[\w-]+)$/;

/** @returns the name of the uploaded file; null for another address */
export const uploadedFile = (uri: string): string | null => FILE.exec(uri)?.[1] ?? null;

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
  explain({ project }: ApiKey, error: UpstreamError): UpstreamError {
    if (!isAboutResource(error)) return error;
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
