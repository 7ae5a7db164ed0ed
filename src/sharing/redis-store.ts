import { randomUUID } from 'node:crypto';
import type { ClientUse } from '../pool/fair-share.ts';
import type { ApiKey } from '../shared/api-key.ts';
import { digestOf, type Secret } from '../shared/secret.ts';
import type { AnswerListener, SharedStore } from '../shared/shared-store.ts';
import { createAnswerStore } from './answer-copies.ts';
import { createInstanceQuestions } from './instance-questions.ts';
import {
  concernsAllCommands,
  type RedisClient,
  RedisConnection,
  type RedisConnectionOptions,
} from './redis-connection.ts';
import { createRedisDocuments, type RedisDocuments } from './redis-documents.ts';

export interface RedisStoreOptions
  extends Pick<RedisConnectionOptions, 'url' | 'clock' | 'random' | 'log'> {
  /** Before every name, so that several deployments can share one Redis. */
  readonly prefix: string;
  readonly keys: readonly ApiKey[];
}

/** What instances share, in a Redis or a Valkey. */
export interface RedisStore extends SharedStore {
  readonly connection: RedisConnection;
  readonly records: RecordStore;
  readonly documents: RedisDocuments;
}

/** The shared store, as far as it holds what instances know of the scopes of their keys. */
export interface RecordStore {
  /** Whether a command is likely to be answered at once. */
  isUp(): boolean;
  /** The offset of its clock from ours, in whole milliseconds; positive when it is ahead. */
  clockOffset(): number;
  /** @param listener receives every event from the store; there is one */
  listen(listener: RecordStoreListener): void;
  /**
   * Merges records into those in the store, and notifies the other instances of what that changes.
   *
   * @returns the merged records, in the order of the updates
   */
  publish(updates: readonly RecordUpdate[]): Promise<readonly string[]>;
  /** Claims the probe of all of these scopes, or of none. */
  claim(scopes: readonly NamedRecord[], holdMs: number): Promise<ClaimAnswer>;
  /**
   * Replaces what this instance has used of some quotas, budgets or shares.
   *
   * @returns what all instances have used, in the order of the updates
   */
  shareUse(updates: readonly OwnUse[]): Promise<readonly TotalUse[]>;
  /** All records, in batches. */
  all(): AsyncIterable<readonly NamedRecord[]>;
}

export interface RecordStoreListener {
  /** Another instance has published. */
  changed(change: RecordChange): void;
  /** Another instance has published its use. */
  used(total: TotalUse): void;
  /** The store is connected, perhaps empty or another one: both sides may lack what the other knows. */
  connected(): void;
  /** The store cannot be used; it may be connected later. */
  failed(): void;
}

/** What is used of a quota, a budget or a share, and the limits of the quota as text. */
export interface TotalUse {
  readonly name: string;
  readonly use: ClientUse;
  readonly limits: string;
  /** Grows with each publication: answers and messages come over two connections and may overtake each other. */
  readonly version: number;
}

export type OwnUse = Omit<TotalUse, 'version'>;

/** What is known of one scope. */
export interface NamedRecord {
  readonly name: string;
  /** See `scope-record.ts`. */
  readonly record: string;
}

export interface RecordUpdate extends NamedRecord {
  /** Whether this ends a probe of ours. */
  readonly endsProbe: boolean;
  /** How long the record is kept after its own time has passed. */
  readonly keepMs: number;
}

export interface RecordChange extends NamedRecord {
  /** Whether another instance's probe has ended. */
  readonly endsProbe: boolean;
}

export type ClaimAnswer =
  | { readonly isGranted: true }
  | {
      readonly isGranted: false;
      /** When to ask again, at the latest. */
      readonly retryMs: number;
      /** The records of the scopes: another instance may have opened or parked one. */
      readonly records: readonly NamedRecord[];
    };

export function createRedisStore({ prefix, keys, ...options }: RedisStoreOptions): RedisStore {
  const instance = randomUUID();
  const hashOf = createAddressHash(keys);
  const names = namesWith(prefix, databaseIn(options.url));
  let listener: RecordStoreListener | null = null;
  let answerListener: AnswerListener | null = null;
  const connection = new RedisConnection({
    ...options,
    channel: names.channel,
    markKey: names.mark,
    onMessage: (message) =>
      receive(message, instance, { scopes: listener, answers: answerListener, documents }),
    onConnected() {
      listener?.connected();
      documents.connected();
    },
    onFailed() {
      listener?.failed();
      documents.failed();
    },
  });
  const documents = createRedisDocuments({
    connection,
    channel: names.channel,
    message: (collection) => `${instance}\ndocuments\n${collection}\n`,
    keyOf: (kind, name) => `${prefix}${kind}:${name}`,
    now: options.clock.now,
  });
  const publishOne = (client: RedisClient, { name, record, endsProbe, keepMs }: RecordUpdate) =>
    client.publishRecord(
      ...[names.record(name), names.claim(name), names.index],
      ...[instance, name, record, endsProbe ? '1' : '0', String(keepMs), names.channel],
    );
  const shareOne = async (client: RedisClient, { name, use, limits }: OwnUse) => {
    const { minute, requests, tokens, dayEndsAt, dayRequests, dayTokens, asked } = use;
    const [total, known] = asTexts(
      await client.shareUse(
        ...[names.use(name), instance, name],
        ...[minute, requests, tokens, dayEndsAt, dayRequests, dayTokens, asked].map(String),
        ...[limits, String(KEEP_USE_MS), names.channel],
      ),
    );
    return readUse(name, total, known);
  };
  const records: RecordStore = {
    isUp: () => connection.state === 'connected',
    clockOffset: () => connection.clockOffset,
    listen(newListener) {
      listener = newListener;
      if (connection.state === 'connected') newListener.connected();
      else if (connection.state !== 'connecting') newListener.failed();
    },
    async publish(updates) {
      const answers = await connection.run((client) =>
        Promise.all(updates.map((update) => publishOne(client, update))),
      );
      return answers.map(String);
    },
    async shareUse(updates) {
      const totals = await connection.run((client) =>
        Promise.all(updates.map((update) => shareOne(client, update))),
      );
      return totals.filter((total) => total !== null);
    },
    async claim(scopes, holdMs) {
      const keys = scopes.flatMap(({ name }) => [names.record(name), names.claim(name)]);
      const own = scopes.map(({ record }) => record);
      const answer = await connection.run((client) =>
        client.claimProbe(String(keys.length), ...keys, instance, String(holdMs), ...own),
      );
      return readClaim(answer, scopes);
    },
    async *all() {
      const known = await connection.run((client) => readIndex(client, names.index));
      for (let from = 0; from < known.length; from += BATCH) {
        const some = known.slice(from, from + BATCH);
        const found = await connection.run((client) => client.mget(some.map(names.record)));
        yield named(some, found);
      }
    },
  };
  return {
    connection,
    records,
    documents,
    questions: createInstanceQuestions({
      connection,
      clock: options.clock,
      instance,
      channel: names.questions,
      answersTo: names.answersTo,
    }),
    texts: {
      async put(name, text, ms) {
        await connection.run((client) => client.set(names.text(name), text, 'PX', ms));
      },
      get: (name) => connection.run((client) => client.get(names.text(name))),
      async take(name, ms) {
        const set = (client: RedisClient) => client.set(names.text(name), '1', 'PX', ms, 'NX');
        return (await connection.run(set)) === 'OK';
      },
      async remove(name) {
        await connection.run((client) => client.del(names.text(name)));
      },
    },
    answers: createAnswerStore({
      connection,
      instance,
      channel: names.channel,
      keysOf: (name) => [names.answer(name), names.answerText(name)],
      listen: (newListener) => {
        answerListener = newListener;
      },
    }),
    counter: (counter) => ({
      async hit(address, windowMs) {
        const key = names.count(counter, hashOf(address));
        const answer = await connection.run((client) => client.countHit(key, String(windowMs)));
        const [total = 0, leftMs = 0] = Array.isArray(answer) ? answer.map(Number) : [];
        return { total, leftMs };
      },
    }),
  };
}

/**
 * The addresses of clients are hashed with the text of a key, since a plain hash of so few addresses can be reversed by
 * trying them all: every instance with the same keys has it, and Redis holds neither it nor a hash that leads to it.
 * The first in alphabetical order seldom changes when keys are added or removed.
 */
function createAddressHash(keys: readonly ApiKey[]) {
  const [first = randomUUID()] = keys.map(({ secret }) => secret.reveal()).sort();
  return (address: string) =>
    digestOf('address', first, address).toString('base64url').slice(0, 22);
}

const BATCH = 1000;

/** Messages of one channel reach every database, so the channel names its own. */
const databaseIn = (url: Secret) => new URL(url.reveal()).pathname.slice(1) || '0';

const namesWith = (prefix: string, database: string) => ({
  record: (name: string) => `${prefix}scope:${name}`,
  claim: (name: string) => `${prefix}probe:${name}`,
  use: (name: string) => `${prefix}use:${name}`,
  index: `${prefix}scopes`,
  mark: `${prefix}mark`,
  channel: `${prefix}changes:${database}`,
  questions: `${prefix}questions:${database}`,
  answersTo: (instance: string) => `${prefix}answers:${database}:${instance}`,
  text: (name: string) => `${prefix}text:${name}`,
  answer: (name: string) => `${prefix}answer:${name}`,
  answerText: (name: string) => `${prefix}answer-text:${name}`,
  count: (counter: string, hash: string) => `${prefix}limit:${counter}:${hash}`,
});

/** Deletes a key of another type that stands in the index's place. */
async function readIndex(client: RedisClient, index: string): Promise<readonly string[]> {
  try {
    return await client.zrange(index, '0', '-1');
  } catch (error) {
    if (concernsAllCommands(error)) throw error;
    await client.del(index);
    return [];
  }
}

function named(names: readonly string[], records: readonly unknown[]): readonly NamedRecord[] {
  return names.flatMap((name, index) => {
    const record = records[index];
    return typeof record === 'string' && record !== '' ? [{ name, record }] : [];
  });
}

/** Longer than a day, whose limits may be known. */
const KEEP_USE_MS = 90_000_000;

const asTexts = (answer: unknown): readonly string[] =>
  Array.isArray(answer) ? answer.map(String) : [];

/** @returns null for what is no use */
function readUse(name: string, text = '', limits = '[]'): TotalUse | null {
  const [minute, requests, tokens, dayEndsAt, dayRequests, version = Number.NaN, ...more] = text
    .split('|')
    .map(Number);
  // An instance with an older version does not write them.
  const [dayTokens = 0, asked = 0] = more;
  const use = { minute, requests, tokens, dayEndsAt, dayRequests, dayTokens, asked };
  const isUse = [...Object.values(use), version].every(Number.isFinite);
  return isUse ? { name, use: use as ClientUse, limits, version } : null;
}

/**
 * A message has a line each: the instance, whether its probe has ended, the scope's name and its record; or the
 * instance, `use`, the quota's name, its use and its limits; or the instance, `gone` or `stopped`, the chat's name and the
 * id of its answer; or the instance, `documents` and their collection.
 */
function receive(
  message: string,
  instance: string,
  { scopes, answers, documents }: Receivers,
): void {
  const [from, what, name, record, limits] = message.split('\n');
  if (from === instance || name === undefined || record === undefined) return;
  if (what === 'gone' || what === 'stopped') {
    answers?.[what](name, record);
    return;
  }
  if (what === 'documents') {
    documents.changed(name);
    return;
  }
  if (what !== 'use') {
    scopes?.changed({ name, record, endsProbe: what === '1' });
    return;
  }
  const total = readUse(name, record, limits);
  if (total !== null) scopes?.used(total);
}

interface Receivers {
  readonly scopes: RecordStoreListener | null;
  readonly answers: AnswerListener | null;
  readonly documents: RedisDocuments;
}

function readClaim(answer: unknown, scopes: readonly NamedRecord[]): ClaimAnswer {
  const [isGranted, retryMs, ...records] = Array.isArray(answer) ? answer : [];
  if (isGranted === 1) return { isGranted: true };
  const names = scopes.map(({ name }) => name);
  return {
    isGranted: false,
    retryMs: typeof retryMs === 'number' ? retryMs : 0,
    records: named(names, records),
  };
}
