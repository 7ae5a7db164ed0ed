import type { FieldFault } from '../failover/service-error.ts';
import type { WaitQueues } from '../failover/wait-queue.ts';
import type { KeyPool } from '../pool/key-pool.ts';
import type {
  ApiKey,
  KeyChangeNote,
  KnownKey,
  KnownKeys,
  ProviderName,
} from '../shared/api-key.ts';
import { type Clock, isoTime, type Timer } from '../shared/clock.ts';
import {
  type DurableStore,
  StaleWriteError,
  type StoreSetting,
  StoreUnavailableError,
} from '../shared/durable-store.ts';
import {
  createLabelCheck,
  faultOfKeyText,
  isPersonaId,
  isPlaceholder,
  MAX_KEY_LENGTH,
  MIN_ADDED_KEY_LENGTH,
} from '../shared/key-text.ts';
import type { Logger } from '../shared/logger.ts';
import { type Order, redactOrder } from '../shared/order.ts';
import { type ProviderFacts, providerOf } from '../shared/provider-facts.ts';
import type { Redact, Redactor } from '../shared/redact.ts';
import type { Sealer } from '../shared/seal.ts';
import { digestOf, Secret } from '../shared/secret.ts';
import { KEYS, readStoredKey, type StoredKey, writeStoredKey } from './stored-keys.ts';
import { inTurns, StoredValues, type ValueChange } from './stored-values.ts';

/** The keys of the settings. */
export interface SettingsKeys {
  /** In the order of the settings. */
  readonly keys: readonly ApiKey[];
  /** The ids of those that come from files. */
  readonly fileKeys: ReadonlySet<string>;
}

/** The keys after the files were read again. */
export interface ReadAgain extends SettingsKeys {
  /** One sentence, without any key, for each file that could not be read. Its key stays as it was. */
  readonly faults: readonly string[];
}

export interface KeyRegistryOptions {
  readonly settings: SettingsKeys;
  /** Null where no key comes from a file. */
  readonly readAgain: (() => Promise<ReadAgain>) | null;
  readonly providers: readonly ProviderFacts[];
  /** A store that outlives the process needs a sealer whose secret does too. */
  readonly store: DurableStore;
  /** What keeps the store from outliving the process. */
  readonly missingSettings: readonly StoreSetting[];
  readonly sealer: Sealer;
  /** Must already hold the keys of the settings. */
  readonly pool: Pick<KeyPool, 'put' | 'remove'>;
  readonly queues: WaitQueues;
  /** Called after a change with all keys in the pool, and with those that were added or replaced. */
  readonly keysChanged: (keys: Iterable<ApiKey>, added: readonly ApiKey[]) => void;
  readonly redact: Redact;
  readonly learnSecrets: Redactor['learn'];
  readonly clock: Clock;
  readonly log: Logger;
}

/** A key that the operator adds. */
export interface NewKey extends Required<Labels> {
  readonly provider: ProviderName;
  readonly text: string;
}

/** Left out: the label stays. Null: no label. */
export interface Labels {
  readonly project?: string | null;
  readonly billing?: string | null;
  readonly personaId?: string | null;
}

/** The outcome for one of several new keys. */
export type Addition =
  | { readonly id: string }
  | { readonly sameAs: string }
  /** The index of the same key among the new ones. */
  | { readonly sameAsNew: number };

/** Why a change of the keys was refused. The sentences hold no key. */
export class KeyChangeError extends Error {
  override readonly name = 'KeyChangeError';
  readonly code: 'invalid_request' | 'not_found' | 'conflict' | 'store_unavailable';
  readonly details: readonly FieldFault[];

  constructor(
    code: KeyChangeError['code'],
    message: string,
    details: readonly FieldFault[] = [],
    cause?: unknown,
  ) {
    super(message, { cause });
    this.code = code;
    this.details = details;
  }
}

/** A key, and the setting and the stored change that it is made of. */
interface Entry extends KnownKey {
  /** Null for an added key. */
  readonly base: ApiKey | null;
  /** While a change is being planned, it has no note. */
  readonly stored: Content | StoredKey | null;
  /** The billing label of this key itself: `key.billing` may come from another key of the project. */
  readonly ownBilling: string | null;
}

/**
 * Owns the list of keys: those of the settings, with the changes in the durable store. It updates the pool, the redaction,
 * the wait queues and the other instances.
 */
export class KeyRegistry implements KnownKeys {
  readonly #options: KeyRegistryOptions;
  #settings: SettingsKeys;
  readonly #stored: StoredValues<StoredKey>;
  #entries: ReadonlyMap<string, Entry> = new Map();
  /** The entries of the last look, before billing accounts were set. Unchanged ones are reused: there may be thousands. */
  #made: ReadonlyMap<string, Entry> = new Map();
  /** The ids by provider and text. */
  #ids: ReadonlyMap<string, string> = new Map();
  /** The keys in the pool. */
  readonly #pooled: Map<string, ApiKey>;
  readonly #listeners: (() => void)[] = [];
  /** Troubles that were logged and are not over. */
  #logged: ReadonlySet<string> = new Set();
  #timer: Timer | null = null;
  #isStopped = false;
  /** One sentence for each file that could not be read. */
  #fileFaults: readonly string[] = [];
  /** What is wrong with stored keys and files, one sentence each. */
  #troubles: string[] = [];

  constructor(options: KeyRegistryOptions) {
    this.#options = options;
    this.#settings = options.settings;
    const { store, sealer, log } = options;
    this.#stored = new StoredValues({
      store,
      collection: KEYS,
      read: (id, text) => readStoredKey(id, text, sealer),
      write: (id, key) => writeStoredKey(id, key, sealer),
      changed: () => this.#apply(),
      failed: (err) =>
        log.warn({ err }, 'the stored keys cannot be read: the keys stay as they are'),
    });
    this.#pooled = new Map(options.settings.keys.map((key) => [key.id, key]));
    this.#entries = this.#makeEntries();
  }

  /** Applies the stored changes, and follows the store and the files from then on. */
  async start(): Promise<void> {
    const { readAgain } = this.#options;
    if (readAgain !== null) this.#readFilesLater(readAgain);
    await this.#stored.follow();
  }

  stop(): void {
    this.#isStopped = true;
    this.#stored.stop();
    this.#timer?.cancel();
  }

  /** Called after each change of the keys, here or by another instance. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  all(): Iterable<KnownKey> {
    return this.#entries.values();
  }

  get(id: string): KnownKey | undefined {
    return this.#entries.get(id);
  }

  /** Where changes are kept. */
  get storage(): DurableStore['kind'] {
    return this.#options.store.kind;
  }

  /** Empty: changes are kept. */
  get missingSettings(): readonly StoreSetting[] {
    return this.#options.missingSettings;
  }

  /** The ids of the stored keys that another `MASTER_KEY` or a newer version has written; they are kept as they are. */
  get unreadable(): readonly string[] {
    return [...this.#stored.entries()].filter(([, key]) => key === null).map(([id]) => id);
  }

  /** Whether the provider has keys, all of them paused. */
  arePaused(provider: ProviderName): boolean {
    const uses = [...this.#entries.values()]
      .filter(({ key }) => key.provider === provider)
      .map(({ use }) => use);
    return uses.includes('paused') && !uses.includes('used');
  }

  /**
   * Adds all of these keys, or none. Keys that exist already are skipped.
   *
   * @throws KeyChangeError whose paths begin with the index of a key: `0.project`
   */
  async add(news: readonly NewKey[], order: Order): Promise<readonly Addition[]> {
    const faults = news.flatMap(({ text }, index) => faultsOfText(text, `${index}.key`));
    if (faults.length > 0) throw invalid(faults);
    // First, so that no message and no log line can hold a key that was pasted into a wrong field.
    await this.#options.learnSecrets(news.map(({ text }) => new Secret('added', text)));
    const last = this.#note('add', order);
    let additions: readonly Addition[] = [];
    await this.#change(async () => {
      const same = this.#findSame(news);
      const fresh = [...news.entries()].filter(([index]) => same[index] === null);
      this.#checkLabels(fresh.map(([index, key]) => ({ ...key, id: null, path: `${index}.` })));
      const ids = await this.#nextIds(fresh.map(([, { provider }]) => provider));
      const changes = fresh.map(([, { provider, text, ...labels }], place): Change => {
        const { project, billing, personaId } = labels;
        const stored = { provider, text, changed: null, use: 'used', last } as const;
        return [ids[place] ?? '', { ...stored, labels: { project, billing, personaId } }];
      });
      additions = same.map((found) => found ?? { id: ids.shift() ?? '' });
      return changes;
    });
    const added = additions.flatMap((addition) => ('id' in addition ? [addition.id] : []));
    const [first, ...others] = added;
    if (first !== undefined) {
      this.#log(others.length === 0 ? { key: first } : { keys: added.length }, last, order);
    }
    return additions;
  }

  /**
   * Changes the given labels. A key that gets another project loses its own billing label.
   *
   * @throws KeyChangeError
   */
  label(id: string, labels: Labels, order: Order): Promise<void> {
    return this.#changeOne(id, 'label', order, (entry) => {
      const content = contentOf(entry);
      const isMoved = labels.project !== undefined && labels.billing === undefined;
      const all = { ...content.labels, ...(isMoved ? { billing: null } : {}), ...labels };
      const { key, ownBilling } = this.#entryOf(id, entry.base, { ...content, labels: all });
      const { provider, project, personaId = null } = key;
      this.#checkLabels([
        {
          ...{ provider, billing: ownBilling, personaId, id, path: '' },
          project: project === id ? null : project,
        },
      ]);
      return { ...content, labels: all };
    });
  }

  /** Gives a key another text. What was found about the old one is forgotten. @throws KeyChangeError */
  async replace(id: string, text: string, order: Order): Promise<void> {
    const faults = faultsOfText(text, 'key');
    if (faults.length > 0) throw invalid(faults);
    await this.#options.learnSecrets([new Secret(id, text)]);
    await this.#changeOne(id, 'replace', order, (entry) => {
      const same = this.#ids.get(slotOf(entry.key.provider, text));
      if (same !== undefined) throw this.taken(same);
      return { ...contentOf(entry), text };
    });
  }

  /** Takes a key out of use. Its answers in flight continue. @throws KeyChangeError */
  pause(id: string, order: Order): Promise<void> {
    return this.#changeOne(id, 'pause', order, (entry) => ({ ...contentOf(entry), use: 'paused' }));
  }

  /** Also brings a retired key of the settings back. @throws KeyChangeError */
  resume(id: string, order: Order): Promise<void> {
    return this.#changeOne(id, 'resume', order, (entry) => ({ ...contentOf(entry), use: 'used' }));
  }

  /** Takes a key out for good. Its answers in flight continue. @throws KeyChangeError */
  retire(id: string, order: Order): Promise<void> {
    return this.#changeOne(id, 'retire', order, (entry) =>
      entry.base === null ? null : { ...contentOf(entry), use: 'retired' },
    );
  }

  /** @param id of the key that has the text already */
  taken(id: string): KeyChangeError {
    const isRetired = this.#entries.get(id)?.use === 'retired';
    const advice = isRetired ? ' It is retired: resume it instead.' : '';
    return new KeyChangeError('conflict', `${id} has this key already.${advice}`);
  }

  async #changeOne(
    id: string,
    action: KeyChangeNote['action'],
    order: Order,
    change: (entry: Entry) => Content | null,
  ): Promise<void> {
    const last = this.#note(action, order);
    await this.#change(() => {
      const content = change(this.#changeable(id, action));
      return [[id, content === null ? null : { ...content, last }]];
    });
    this.#log({ key: id }, last, order);
  }

  #changeable(id: string, action: KeyChangeNote['action']): Entry {
    if (this.#stored.get(id) === null) {
      const message = `What is stored of ${id} cannot be read: it was written with another MASTER_KEY, or by a newer version.`;
      throw new KeyChangeError('conflict', message);
    }
    const entry = this.#entries.get(id);
    if (entry === undefined) throw new KeyChangeError('not_found', 'There is no such key.');
    if (entry.use === 'retired' && action !== 'resume') {
      throw new KeyChangeError('conflict', `${id} is retired: resume it first.`);
    }
    return entry;
  }

  #log(
    what: Readonly<Record<string, unknown>>,
    { action, who, why }: KeyChangeNote,
    { requestId }: Order,
  ): void {
    this.#options.log.warn({ requestId, ...what, action, who, why }, 'operator');
  }

  /** @throws KeyChangeError */
  #change(plan: Parameters<StoredValues<StoredKey>['change']>[0]): Promise<void> {
    return this.#stored.change(plan).catch((error: unknown) => {
      if (error instanceof StoreUnavailableError) throw unavailable(error, this.#options.store);
      throw error instanceof StaleWriteError ? changedElsewhere(error) : error;
    });
  }

  #note(action: KeyChangeNote['action'], order: Order): KeyChangeNote {
    const { redact, clock } = this.#options;
    const { who, why } = redactOrder(order, redact);
    return { action, who, why, at: isoTime(clock.now()) };
  }

  async #nextIds(providers: readonly ProviderName[]): Promise<string[]> {
    const { store } = this.#options;
    if (providers.length === 0) return [];
    const first = await store.next(KEYS, providers.length);
    return providers.map((provider, index) => `${provider}-r${first + index}`);
  }

  /** For each: the key with the same text, or null. */
  #findSame(news: readonly NewKey[]): (Exclude<Addition, { readonly id: string }> | null)[] {
    const firsts = new Map<string, number>();
    return news.map(({ provider, text }, index) => {
      const slot = slotOf(provider, text);
      const sameAs = this.#ids.get(slot);
      if (sameAs !== undefined) return { sameAs };
      const sameAsNew = firsts.get(slot);
      if (sameAsNew !== undefined) return { sameAsNew };
      firsts.set(slot, index);
      return null;
    });
  }

  /** @throws KeyChangeError */
  #checkLabels(keys: readonly LabelledKey[]): void {
    const { providers, redact } = this.#options;
    const faultOfLabel = createLabelCheck(providers, (text) => redact(text) !== text);
    const ids = new Set(keys.map(({ id }) => id));
    const others = [...this.#entries.values()].filter(({ key }) => !ids.has(key.id));
    const accounts = accountsOf(others);
    const faults = keys.flatMap((key) => [
      ...faultsOfLabels(key, providerOf(providers, key.provider), faultOfLabel),
      ...contradictions(key, accounts),
    ]);
    if (faults.length > 0) throw invalid(faults);
  }

  /** Makes the pool and its followers match the entries. */
  async #apply(): Promise<void> {
    const { pool, queues, keysChanged, learnSecrets } = this.#options;
    const entries = this.#makeEntries();
    await learnSecrets([...entries.values()].map(({ key }) => key.secret));
    this.#entries = entries;
    const pooled = this.#pooled;
    const gone = [...pooled.values()].filter(({ id }) => entries.get(id)?.use !== 'used');
    await inTurns(gone, ({ id }) => {
      pool.remove(id);
      pooled.delete(id);
    });
    const changed = [...entries.values()].flatMap(({ key, use }) =>
      use === 'used' && !isSameKey(key, pooled.get(key.id)) ? [key] : [],
    );
    await inTurns(changed, (key) => {
      pool.put(key);
      pooled.set(key.id, key);
    });
    if (changed.length + gone.length > 0) keysChanged(pooled.values(), changed);
    for (const provider of providersOf(changed)) queues.get(provider)?.keyProved(null);
    for (const provider of providersOf(gone)) queues.get(provider)?.leaseFailed(null);
    this.#logTroubles();
    for (const listener of this.#listeners) listener();
  }

  #makeEntries(): ReadonlyMap<string, Entry> {
    const entries = new Map<string, Entry>();
    const ids = new Map<string, string>();
    this.#troubles = [...this.#fileFaults, ...this.#unreadableTroubles()];
    const add = (entry: Entry) => {
      const { id, provider, secret } = entry.key;
      const slot = slotOf(provider, secret.reveal());
      const first = ids.get(slot);
      if (first === undefined) {
        ids.set(slot, id);
        entries.set(id, entry);
      } else
        this.#troubles.push(`${id} has the same key as ${first}, which counts once as ${first}`);
    };
    for (const base of this.#settings.keys) {
      const stored = this.#stored.get(base.id) ?? null;
      const isOfText = stored !== null && stored.changed === digestOfKey(base);
      add(this.#entryOf(base.id, base, isOfText ? stored : null));
    }
    const added = [...this.#stored.entries()].filter(([, key]) => key?.changed === null);
    for (const [id, key] of added.sort(byNumber)) add(this.#entryOf(id, null, key));
    this.#ids = ids;
    this.#made = entries;
    return withAccounts(entries);
  }

  #unreadableTroubles(): readonly string[] {
    const { unreadable } = this;
    if (unreadable.length === 0) return [];
    const named = unreadable.slice(0, MAX_NAMED).join(', ');
    return [
      `${unreadable.length} stored keys cannot be read and are kept as they are (${named}): they were written with another MASTER_KEY, or by a newer version`,
    ];
  }

  /** @param stored has the text where there is no `base` */
  #entryOf(id: string, base: ApiKey | null, stored: Content | StoredKey | null): Entry {
    const made = this.#made.get(id);
    if (made !== undefined && made.base === base && made.stored === stored) return made;
    const { labels = {}, use = 'used' } = stored ?? {};
    const origin = this.#settings.fileKeys.has(id) ? 'file' : 'environment';
    return {
      key: keyOf(id, base, stored, made?.key.secret),
      origin: base === null ? 'added' : origin,
      use,
      lastChange: stored !== null && 'last' in stored ? stored.last : null,
      // The account belongs to the project.
      ownBilling: labelOf(labels.billing, labels.project === undefined ? base?.billing : undefined),
      base,
      stored,
    };
  }

  /** Logs each trouble once, and again if it returns. */
  #logTroubles(): void {
    const troubles = new Set(this.#troubles);
    for (const trouble of troubles) if (!this.#logged.has(trouble)) this.#options.log.warn(trouble);
    this.#logged = troubles;
  }

  #readFilesLater(readAgain: () => Promise<ReadAgain>): void {
    this.#timer = this.#options.clock.after(FILES_MS, () => {
      void this.#readFiles(readAgain).then(() => {
        if (!this.#isStopped) this.#readFilesLater(readAgain);
      });
    });
  }

  async #readFiles(readAgain: () => Promise<ReadAgain>): Promise<void> {
    const read = await readAgain();
    const isSame =
      haveSameKeys(read, this.#settings) && read.faults.join() === this.#fileFaults.join();
    if (isSame || this.#isStopped) return;
    this.#fileFaults = read.faults;
    const before = new Map(this.#settings.keys.map((key) => [key.id, key]));
    // An unchanged key stays the same object: its last check is found by it.
    const keys = read.keys.map((key) => {
      const same = before.get(key.id);
      return isSameKey(key, same) ? same : key;
    });
    this.#settings = { ...read, keys };
    await this.#stored.look();
  }
}

/** How often files are read again. */
const FILES_MS = 5000;
const MAX_NAMED = 5;

type Content = Omit<StoredKey, 'last'>;
type Change = ValueChange<StoredKey>;

const contentOf = ({ key, base, stored }: Entry): Content =>
  stored ?? {
    provider: key.provider,
    text: null,
    changed: base === null ? null : digestOfKey(base),
    labels: {},
    use: 'used',
  };

/**
 * Without its billing account.
 *
 * @param before kept while the text is the same: the last check is found by it
 */
function keyOf(
  id: string,
  base: ApiKey | null,
  stored: Content | null,
  before: Secret | undefined,
): ApiKey {
  const labels = stored?.labels ?? {};
  const personaId = labelOf(labels.personaId, base?.personaId);
  return {
    id,
    provider: base?.provider ?? stored?.provider ?? '',
    project: labelOf(labels.project, base?.project) ?? id,
    secret: secretOf(id, base, stored?.text ?? null, before),
    ...(personaId === null ? {} : { personaId }),
  };
}

function secretOf(
  id: string,
  base: ApiKey | null,
  ownText: string | null,
  before: Secret | undefined,
): Secret {
  if (base !== null && ownText === null) return base.secret;
  const text = ownText ?? '';
  return before?.reveal() === text ? before : new Secret(id, text);
}

const labelOf = (own: string | null | undefined, otherwise: string | undefined) =>
  (own === undefined ? otherwise : own) ?? null;

const slotOf = (provider: ProviderName, text: string) => `${provider} ${text}`;

const digestOfKey = ({ provider, secret }: ApiKey): string =>
  digestOf('variable', provider, secret.reveal()).toString('base64url');

const byNumber = ([one]: readonly [string, unknown], [other]: readonly [string, unknown]) =>
  numberIn(one) - numberIn(other);

const numberIn = (id: string) => Number(id.slice(id.lastIndexOf('-r') + 2));

const providersOf = (keys: readonly ApiKey[]) => new Set(keys.map(({ provider }) => provider));

const isSameKey = (one: ApiKey, other: ApiKey | undefined): other is ApiKey =>
  other !== undefined && (one === other || isEqualKey(one, other));

const isEqualKey = (one: ApiKey, other: ApiKey) =>
  one.id === other.id &&
  one.project === other.project &&
  one.billing === other.billing &&
  one.personaId === other.personaId &&
  one.secret.reveal() === other.secret.reveal();

const haveSameKeys = (one: SettingsKeys, other: SettingsKeys) =>
  one.keys.length === other.keys.length &&
  one.keys.every((key, index) => isSameKey(key, other.keys[index]));

/** By provider and project: its account, and the key that names it. */
type Accounts = Map<string, { readonly account: string; readonly namedBy: string }>;

function accountsOf(entries: Iterable<Entry>): Accounts {
  const accounts: Accounts = new Map();
  for (const { key, ownBilling, use } of entries) {
    const slot = slotOf(key.provider, key.project);
    if (ownBilling === null || use === 'retired' || accounts.has(slot)) continue;
    accounts.set(slot, { account: ownBilling, namedBy: key.id });
  }
  return accounts;
}

/** All keys of a project have the billing account that one of them names. */
function withAccounts(entries: ReadonlyMap<string, Entry>): ReadonlyMap<string, Entry> {
  const accounts = accountsOf(entries.values());
  if (accounts.size === 0) return entries;
  return new Map(
    [...entries].map(([id, entry]) => {
      const { account } = accounts.get(slotOf(entry.key.provider, entry.key.project)) ?? {};
      const key = account === undefined ? entry.key : { ...entry.key, billing: account };
      return [id, { ...entry, key }];
    }),
  );
}

interface LabelledKey extends Required<Labels> {
  readonly provider: ProviderName;
  /** Null for a new key. */
  readonly id: string | null;
  /** What the paths of its fields begin with. */
  readonly path: string;
}

function faultsOfLabels(
  { path, project, billing, personaId, provider }: LabelledKey,
  { hasBillingAccounts = false, hasPersonas = false }: ProviderFacts,
  faultOfLabel: (text: string) => string | null,
): readonly FieldFault[] {
  const faultIn = (field: keyof Labels, fault: string | null) =>
    fault === null ? [] : [{ path: path + field, message: `${capital(fault)}.` }];
  const none = (what: string) => `keys of ${capital(provider)} have no ${what}`;
  const billingFault = (text: string) =>
    hasBillingAccounts ? faultOfLabel(text) : none('billing account');
  const personaFault = (text: string) => {
    if (!hasPersonas) return none('persona');
    return isPersonaId(text) ? faultOfLabel(text) : 'is not the id of a persona';
  };
  return [
    ...faultIn('project', project === null ? null : faultOfLabel(project)),
    ...faultIn('billing', billing === null ? null : billingFault(billing)),
    ...faultIn('personaId', personaId === null ? null : personaFault(personaId)),
  ];
}

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

/** Adds the key's account to `accounts`. */
function contradictions(
  { path, project, billing, provider, id }: LabelledKey,
  accounts: Accounts,
): readonly FieldFault[] {
  if (billing === null || project === null) return [];
  const slot = slotOf(provider, project);
  const known = accounts.get(slot);
  if (known === undefined)
    accounts.set(slot, { account: billing, namedBy: id ?? 'another new key' });
  if (known === undefined || known.account === billing) return [];
  const message = `Contradicts ${known.namedBy}, whose key has the same project and another account.`;
  return [{ path: `${path}billing`, message }];
}

function faultsOfText(text: string, path: string): readonly FieldFault[] {
  const fault = faultOfAddedText(text);
  return fault === null ? [] : [{ path, message: fault }];
}

/** @returns what is wrong with the text of a new key, as a sentence; null for nothing */
export function faultOfAddedText(text: string): string | null {
  if (text.length < MIN_ADDED_KEY_LENGTH) return 'Is too short to be a key.';
  if (text.length > MAX_KEY_LENGTH) return 'Is too long to be a key.';
  if (isPlaceholder(text)) return 'Is a placeholder, not a key.';
  const fault = faultOfKeyText(text);
  return fault === null ? null : `${capital(fault)}.`;
}

function invalid(details: readonly FieldFault[]): KeyChangeError {
  return new KeyChangeError('invalid_request', 'Some fields are wrong.', details);
}

const unavailable = (cause: unknown, store: DurableStore) =>
  new KeyChangeError('store_unavailable', store.fault() ?? NOT_WRITTEN, [], cause);

const NOT_WRITTEN =
  'The store of the keys does not answer. Look at the list before you try again: the change may have been kept.';

const changedElsewhere = (cause: unknown) =>
  new KeyChangeError(
    'conflict',
    'The key was changed elsewhere at the same time. Try again.',
    [],
    cause,
  );
