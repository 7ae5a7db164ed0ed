import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import type { ClientUse, Sharer } from '../pool/fair-share.ts';
import type { Clock } from '../shared/clock.ts';
import type { DurableStore } from '../shared/durable-store.ts';
import { parseJson } from '../shared/json.ts';
import type { Logger } from '../shared/logger.ts';
import { digestOfToken, Secret } from '../shared/secret.ts';
import { Budget, type BudgetLimits } from './budgets.ts';
import { StoredValues } from './stored-values.ts';

/** The groups of routes that a client may be confined to. */
export const CLIENT_ROUTES = [
  'chat',
  'openai',
  'anthropic',
  'gemini',
  'avatar',
  'live',
  'embeddings',
] as const;
export type ClientRoute = (typeof CLIENT_ROUTES)[number];

/** What a client may do. */
export interface ClientTerms extends BudgetLimits {
  /** Names of models and aliases; null for all. */
  readonly models: readonly string[] | null;
  /** Null for all. */
  readonly routes: readonly ClientRoute[] | null;
  readonly weight: number;
}

export const UNLIMITED: ClientTerms = {
  models: null,
  routes: null,
  requestsPerMinute: null,
  tokensPerMinute: null,
  requestsPerDay: null,
  tokensPerDay: null,
  weight: 1,
};

/** A program with a token, its terms and its budget. */
export class Client implements Sharer {
  readonly name: string;
  readonly origin: 'environment' | 'added';
  /** Milliseconds since the epoch; null for one of `CLIENT_TOKENS`. */
  readonly createdAt: number | null;
  readonly budget: Budget;
  /** Milliseconds since the epoch; null before the first request. */
  lastUsedAt: number | null = null;
  /** Requests that were refused for a limit, here and since the start. */
  refused = 0;
  #terms: ClientTerms;
  /** The models' own names; null for all. */
  #models: ReadonlySet<string> | null = null;
  #routes: ReadonlySet<ClientRoute> | null = null;

  constructor(
    { name, origin, createdAt }: Pick<Client, 'name' | 'origin' | 'createdAt'>,
    terms: ClientTerms,
    aliases: ReadonlyMap<string, string>,
  ) {
    this.name = name;
    this.origin = origin;
    this.createdAt = createdAt;
    this.budget = new Budget(terms);
    this.#terms = terms;
    this.setTerms(terms, aliases);
  }

  get terms(): ClientTerms {
    return this.#terms;
  }

  get weight(): number {
    return this.#terms.weight;
  }

  /** @param aliases the name of the model, by its alias */
  setTerms(terms: ClientTerms, aliases: ReadonlyMap<string, string>): void {
    const { models, routes } = terms;
    this.#terms = terms;
    this.#models = models === null ? null : new Set(models.map((one) => aliases.get(one) ?? one));
    this.#routes = routes === null ? null : new Set(routes);
    this.budget.limits = terms;
  }

  /** @param others what the other instances have counted */
  merge(others: ClientUse, now: number): void {
    const before = this.budget.used(now).requestsDay;
    this.budget.merge(others, now);
    if (this.budget.used(now).requestsDay > before) this.lastUsedAt = now;
  }

  /** Whether it may use only some models. */
  get isConfined(): boolean {
    return this.#models !== null;
  }

  /** @param model its own name; null for what has none */
  mayUseModel(model: string | null): boolean {
    return this.#models === null || model === null || this.#models.has(model);
  }

  mayUseRoute(route: ClientRoute): boolean {
    return this.#routes === null || this.#routes.has(route);
  }
}

/** Why a client cannot be made or changed. */
export class ClientError extends Error {
  override readonly name = 'ClientError';
  readonly kind: 'taken' | 'unknown' | 'fixed' | 'too_many';

  constructor(kind: ClientError['kind'], message: string) {
    super(message);
    this.kind = kind;
  }
}

/** A client with its token, which is shown once. */
export interface ClientWithToken {
  readonly client: Client;
  readonly token: Secret;
}

export interface ClientsOptions {
  /** `CLIENT_TOKENS`; the id of each is its client's name. */
  readonly tokens: readonly Secret[];
  readonly store: DurableStore;
  readonly clock: Pick<Clock, 'now'>;
  /** The name of the model, by its alias. */
  readonly aliases: ReadonlyMap<string, string>;
  readonly log: Logger;
  /** Called when a client no longer exists. */
  readonly revoked: (name: string) => void;
}

/**
 * These names mean something else: in counts, or, as `..` does, in the path of a route. `client-1` is the first of
 * `CLIENT_TOKENS`.
 */
export const isReserved = (name: string): boolean => /^(?:web|other|client-\d+|\.\.?)$/.test(name);

const COLLECTION = 'clients';
const MAX_CLIENTS = 10_000;

const limit = z.number().nullable();
/** A client in the store. */
const stored = z.object({
  digest: z.string(),
  /** The token before the last rotation works until then: milliseconds since the epoch. */
  before: z.object({ digest: z.string(), until: z.number() }).nullable(),
  createdAt: z.number(),
  models: z.array(z.string()).readonly().nullable(),
  routes: z.array(z.enum(CLIENT_ROUTES)).readonly().nullable(),
  requestsPerMinute: limit,
  tokensPerMinute: limit,
  requestsPerDay: limit,
  tokensPerDay: limit,
  weight: z.number(),
});
type Stored = z.output<typeof stored>;

interface Known {
  readonly client: Client;
  readonly value: Stored;
}

/** A token by its digest. */
interface Pass {
  readonly client: Client;
  /** Milliseconds since the epoch. */
  readonly until: number;
}

/**
 * The clients of `CLIENT_TOKENS`, and those that were made at run time. For the second kind the store holds only a digest
 * of the token, and every instance follows the store.
 */
export class Clients {
  readonly #options: ClientsOptions;
  readonly #fixed: ReadonlyMap<string, Client>;
  readonly #fixedPasses: ReadonlyMap<string, Pass>;
  readonly #stored: StoredValues<Stored>;
  readonly #added = new Map<string, Known>();
  readonly #addedPasses = new Map<string, Pass>();

  constructor(options: ClientsOptions) {
    const { tokens, aliases, store } = options;
    this.#options = options;
    this.#stored = new StoredValues({
      store,
      collection: COLLECTION,
      read: (_, text) => stored.safeParse(parseJson(text)).data ?? null,
      write: (_, value) => JSON.stringify(value),
      changed: (names) => {
        for (const name of names) this.#follow(name);
      },
      failed: () => {},
    });
    const fixed = tokens.map((token) => {
      const facts = { name: token.id, origin: 'environment', createdAt: null } as const;
      return { token, client: new Client(facts, UNLIMITED, aliases) };
    });
    this.#fixed = new Map(fixed.map(({ client }) => [client.name, client]));
    this.#fixedPasses = new Map(
      fixed.map(({ token, client }) => [digestOfToken(token.reveal()), { client, until: NEVER }]),
    );
  }

  get size(): number {
    return this.#fixed.size + this.#added.size;
  }

  /**
   * Looks the token up by its digest, so that the time does not depend on how much of a token is right.
   *
   * @returns null for an unknown token
   */
  find(token: string): Client | null {
    const digest = digestOfToken(token);
    const pass = this.#fixedPasses.get(digest) ?? this.#addedPasses.get(digest);
    return pass !== undefined && pass.until > this.#options.clock.now() ? pass.client : null;
  }

  get(name: string): Client | null {
    return this.#fixed.get(name) ?? this.#added.get(name)?.client ?? null;
  }

  /** Those of the settings first. */
  all(): readonly Client[] {
    const added = [...this.#added.values()].map(({ client }) => client);
    return [...this.#fixed.values(), ...added.sort((one, other) => compare(one.name, other.name))];
  }

  /** Reads the store, and follows it from now on. A store that does not answer is read later. */
  begin(): Promise<void> {
    return this.#stored.follow();
  }

  /** @throws ClientError when the name is taken; StoreUnavailableError */
  async make(name: string, terms: ClientTerms): Promise<ClientWithToken> {
    const token = newToken(name);
    const createdAt = this.#options.clock.now();
    const value = { ...terms, digest: digestOfToken(token.reveal()), before: null, createdAt };
    await this.#stored.change(() => {
      if (this.#fixed.has(name) || this.#stored.get(name) !== undefined) throw taken();
      if (this.#added.size >= MAX_CLIENTS) throw tooMany();
      return [[name, value]];
    });
    return { client: this.#changeable(name).client, token };
  }

  /** @throws ClientError; StoreUnavailableError */
  change(name: string, terms: Partial<ClientTerms>): Promise<Client> {
    return this.#change(name, (value) => ({ ...value, ...terms }));
  }

  /**
   * Replaces the token.
   *
   * @param graceMs how long the old one still works
   * @throws ClientError; StoreUnavailableError
   */
  async rotate(name: string, graceMs: number): Promise<ClientWithToken> {
    const token = newToken(name);
    const until = this.#options.clock.now() + graceMs;
    const client = await this.#change(name, (value) => ({
      ...value,
      digest: digestOfToken(token.reveal()),
      before: graceMs === 0 ? null : { digest: value.digest, until },
    }));
    return { client, token };
  }

  /** @throws ClientError; StoreUnavailableError */
  revoke(name: string): Promise<Client> {
    return this.#change(name, () => null);
  }

  async #change(name: string, change: (value: Stored) => Stored | null): Promise<Client> {
    let { client } = this.#changeable(name);
    await this.#stored.change(() => {
      const known = this.#changeable(name);
      client = known.client;
      return [[name, change(known.value)]];
    });
    return client;
  }

  #changeable(name: string): Known {
    const known = this.#added.get(name);
    if (known !== undefined) return known;
    throw this.#fixed.has(name)
      ? new ClientError('fixed', 'This client is one of CLIENT_TOKENS: change that setting.')
      : new ClientError('unknown', 'There is no such client.');
  }

  /** Updates the client from the store. */
  #follow(name: string): void {
    const before = this.#added.get(name);
    for (const [digest] of passesOf(before)) this.#addedPasses.delete(digest);
    const known = this.#known(name, before);
    for (const [digest, pass] of passesOf(known)) this.#addedPasses.set(digest, pass);
    if (known !== undefined) this.#added.set(name, known);
    else if (this.#added.delete(name)) this.#options.revoked(name);
  }

  #known(name: string, before: Known | undefined): Known | undefined {
    const value = this.#stored.get(name);
    if (value === undefined) return;
    if (value === null || this.#fixed.has(name)) {
      this.#options.log.warn({ client: name }, UNREADABLE);
      return;
    }
    // A client that was revoked and made again is a new one.
    const isSame = before?.value.createdAt === value.createdAt;
    const client = isSame ? before.client : this.#clientOf(name, value);
    client.setTerms(value, this.#options.aliases);
    return { client, value };
  }

  #clientOf(name: string, value: Stored): Client {
    const facts = { name, origin: 'added', createdAt: value.createdAt } as const;
    return new Client(facts, value, this.#options.aliases);
  }
}

const NEVER = Number.POSITIVE_INFINITY;
const UNREADABLE = 'the store holds a client that cannot be read: it is refused';

function passesOf(known: Known | undefined): readonly (readonly [digest: string, pass: Pass])[] {
  if (known === undefined) return [];
  const { client, value } = known;
  const { digest, before } = value;
  const present = [digest, { client, until: NEVER }] as const;
  return before === null ? [present] : [present, [before.digest, { client, until: before.until }]];
}

const tooMany = () =>
  new ClientError('too_many', `There are ${MAX_CLIENTS} clients: revoke one first.`);

const taken = () => new ClientError('taken', 'There is a client of this name.');

const newToken = (name: string) => new Secret(name, `us-${randomBytes(32).toString('base64url')}`);

const compare = (one: string, other: string) => (one < other ? -1 : 1);
