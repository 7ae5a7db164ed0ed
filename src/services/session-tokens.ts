import { z } from 'zod';
import type { ApiKey, KnownKeys } from '../shared/api-key.ts';
import { atMost, type Clock } from '../shared/clock.ts';
import { type JsonObject, parseJson } from '../shared/json.ts';
import { createSealer } from '../shared/seal.ts';
import { digestOf, Secret } from '../shared/secret.ts';
import type { TextStore } from '../shared/shared-store.ts';

/** What is kept of a session token, so that its session can start with another key. */
export interface MintedToken {
  readonly keyId: string;
  /** The caller's request in Anam's form; null for our persona without options. */
  readonly clientRequest: JsonObject | null;
}

/** The session tokens that any instance has minted within the last hour. */
export interface SessionTokens {
  remember(token: string, minted: MintedToken): void;
  /** @returns null for a token that is unknown or older than an hour */
  find(token: string): Promise<MintedToken | null>;
  /**
   * Claims the token's only session, until it is released.
   *
   * @returns false when it is claimed already
   */
  claim(token: string): Promise<boolean>;
  release(token: string): void;
}

export interface SessionTokensOptions {
  readonly clock: Clock;
  readonly keys: KnownKeys;
  /** Shares the tokens with other instances; null without a shared store. */
  readonly texts: TextStore | null;
}

/** A session token is valid for an hour (PROVIDERS: `POST /v1/auth/session-token`). */
const LIFETIME_MS = 3_600_000;
/** The shared store usually answers in a millisecond; a slower answer is not waited for. */
const ANSWER_LIMIT_MS = 250;
/** A token with a longer request is not shared: another instance can start its session only with the token's own key. */
const MAX_SHARED_LENGTH = 100_000;

export function createSessionTokens({ clock, keys, texts }: SessionTokensOptions): SessionTokens {
  const own = new OwnTokens(clock);
  const soon = <T>(answer: Promise<T>, otherwise: T) =>
    atMost(ANSWER_LIMIT_MS, clock, answer, otherwise);
  return {
    remember(token, minted) {
      own.remember(token, minted);
      if (texts === null) return;
      const { keyId, clientRequest } = minted;
      const known = { key: hashOfId(keys, keyId), clientRequest };
      const text = sealerOf(token).seal(JSON.stringify(known));
      if (text.length <= MAX_SHARED_LENGTH)
        texts.put(nameOf(token), text, LIFETIME_MS).catch(() => {});
    },
    async find(token) {
      const known = own.find(token);
      if (known !== null || texts === null) return known;
      const sealed = await soon(texts.get(nameOf(token)), null);
      const shared = SHARED.safeParse(parseJson(unseal(sealed ?? '', token))).data;
      if (shared === undefined) return null;
      const keyId = idOfHash(keys, shared.key);
      if (keyId === null) return null;
      own.remember(token, { keyId, clientRequest: shared.clientRequest });
      return own.find(token);
    },
    async claim(token) {
      if (!own.claim(token)) return false;
      if (texts === null || (await soon(texts.take(claimOf(token), LIFETIME_MS), true)))
        return true;
      own.release(token);
      return false;
    },
    release(token) {
      own.release(token);
      texts?.remove(claimOf(token)).catch(() => {});
    },
  };
}

function hashOfId(keys: KnownKeys, id: string): string | undefined {
  const known = keys.get(id);
  return known === undefined ? undefined : hashOf(known.key);
}

/** Looked up only for a token of another instance. */
function idOfHash(keys: KnownKeys, hash: string): string | null {
  for (const { key } of keys.all()) if (hashOf(key) === hash) return key.id;
  return null;
}

/** A key may have another id on another instance. */
const hashOf = ({ provider, secret }: ApiKey) =>
  digestOf(provider, secret.reveal()).toString('base64url');

const SHARED = z.object({
  key: z.string(),
  clientRequest: z.record(z.string(), z.unknown()).nullable(),
});

/** At most this many tokens are kept: the oldest is forgotten, and then treated as an unknown one. */
const MAX_TOKENS = 10_000;
/** The total length of the callers' requests, in characters. */
const MAX_SIZE = 32_000_000;

interface Kept extends MintedToken {
  readonly until: number;
  readonly size: number;
  isClaimed: boolean;
}

/** The tokens that this instance knows, by their digests: what is kept starts no session. */
class OwnTokens {
  readonly #now: () => number;
  /** In the order in which they expire. */
  readonly #kept = new Map<string, Kept>();
  #size = 0;

  constructor({ now }: Clock) {
    this.#now = now;
  }

  remember(token: string, { keyId, clientRequest }: MintedToken): void {
    const digest = digestOf(token).toString('base64url');
    this.#forget(digest);
    const size = clientRequest === null ? 0 : JSON.stringify(clientRequest).length;
    const until = this.#now() + LIFETIME_MS;
    this.#kept.set(digest, { keyId, clientRequest, until, size, isClaimed: false });
    this.#size += size;
    for (const [oldest, kept] of this.#kept) {
      const isRoom = this.#kept.size <= MAX_TOKENS && this.#size <= MAX_SIZE;
      if (isRoom && kept.until > this.#now()) break;
      this.#forget(oldest);
    }
  }

  find(token: string): Kept | null {
    const kept = this.#kept.get(digestOf(token).toString('base64url'));
    return kept !== undefined && kept.until > this.#now() ? kept : null;
  }

  claim(token: string): boolean {
    const kept = this.find(token);
    if (kept === null || kept.isClaimed) return false;
    kept.isClaimed = true;
    return true;
  }

  release(token: string): void {
    const kept = this.find(token);
    if (kept !== null) kept.isClaimed = false;
  }

  #forget(digest: string): void {
    this.#size -= this.#kept.get(digest)?.size ?? 0;
    this.#kept.delete(digest);
  }
}

/** The name of a token in the shared store, which does not reveal the token. */
const nameOf = (token: string): string => digestOf('name', token).toString('base64url');

const claimOf = (token: string) => `${nameOf(token)}:claim`;

/** Only the token opens it. */
const sealerOf = (token: string) =>
  createSealer(new Secret('session-token', token), 'session token');

/** @returns an empty text for what was not sealed with this token */
function unseal(sealed: string, token: string): string {
  try {
    return sealerOf(token).open(sealed);
  } catch {
    return '';
  }
}
