import { createHash } from 'node:crypto';
import type { Clock } from '../shared/clock.ts';

/** What is remembered of a session token, so that its session can start with another key. */
export interface MintedToken {
  /** Of the key that minted it. */
  readonly keyId: string;
  /** The persona that its caller brought; null for ours. */
  readonly clientPersona: Readonly<Record<string, unknown>> | null;
}

/** The tokens of the last hour, by their digests: what is kept is of no use to a thief. */
export interface MintedTokens {
  remember(token: string, minted: MintedToken): void;
  /** @returns null for a token that is none of ours, or older than an hour */
  find(token: string): MintedToken | null;
  /**
   * Claims its one conversation, until it is released again.
   *
   * @returns whether nobody had it already
   */
  claim(token: string): boolean;
  release(token: string): void;
}

/** A session token is good for an hour (PROVIDERS: `POST /v1/auth/session-token`). */
const LIFETIME_MS = 3_600_000;
/** More are not kept: the oldest is forgotten, and then passed on as it is. */
const MAX_TOKENS = 10_000;
/** Of all the personas that callers bring, in characters. */
const MAX_SIZE = 32_000_000;

interface Kept extends MintedToken {
  readonly until: number;
  readonly size: number;
  isClaimed: boolean;
}

export function createMintedTokens({ now }: Pick<Clock, 'now'>): MintedTokens {
  /** In the order in which they expire. */
  const kept = new Map<string, Kept>();
  let totalSize = 0;
  const forget = () => {
    for (const [digest, { until, size }] of kept) {
      if (until > now() && kept.size <= MAX_TOKENS && totalSize <= MAX_SIZE) return;
      kept.delete(digest);
      totalSize -= size;
    }
  };
  const find = (token: string) => {
    const found = kept.get(digestOf(token));
    return found !== undefined && found.until > now() ? found : null;
  };
  return {
    remember(token, minted) {
      const digest = digestOf(token);
      totalSize -= kept.get(digest)?.size ?? 0;
      kept.delete(digest);
      const size = sizeOf(minted.clientPersona);
      kept.set(digest, { ...minted, until: now() + LIFETIME_MS, size, isClaimed: false });
      totalSize += size;
      forget();
    },
    find,
    claim(token) {
      const found = find(token);
      if (found === null || found.isClaimed) return false;
      found.isClaimed = true;
      return true;
    },
    release(token) {
      const found = find(token);
      if (found !== null) found.isClaimed = false;
    },
  };
}

const sizeOf = (persona: MintedToken['clientPersona']) =>
  persona === null ? 0 : JSON.stringify(persona).length;

const digestOf = (token: string) => createHash('sha256').update(token).digest('base64url');
