import { createHash } from 'node:crypto';
import type { Clock } from '../shared/clock.ts';

/** What is remembered of a session token, so that its session can start with another key. */
export interface MintedToken {
  /** Of the key that minted it. */
  readonly keyId: string;
  /** The persona that its caller brought; null for ours. */
  readonly clientPersona: Readonly<Record<string, unknown>> | null;
  /** Its one conversation has begun. */
  readonly isUsed: boolean;
}

/** The tokens of the last hour, by their digests: what is kept is of no use to a thief. */
export interface MintedTokens {
  remember(token: string, minted: Omit<MintedToken, 'isUsed'>): void;
  /** @returns null for a token that is none of ours, or older than an hour */
  find(token: string): MintedToken | null;
  use(token: string): void;
}

/** A session token is good for an hour (PROVIDERS: `POST /v1/auth/session-token`). */
const LIFETIME_MS = 3_600_000;
/** More are not kept: the oldest is forgotten, and then passed on as it is. */
const MAX_TOKENS = 10_000;

interface Kept extends MintedToken {
  readonly until: number;
  isUsed: boolean;
}

export function createMintedTokens({ now }: Pick<Clock, 'now'>): MintedTokens {
  /** In the order in which they expire. */
  const kept = new Map<string, Kept>();
  const forget = () => {
    for (const [digest, { until }] of kept) {
      if (until > now() && kept.size < MAX_TOKENS) return;
      kept.delete(digest);
    }
  };
  const find = (token: string) => {
    const found = kept.get(digestOf(token));
    return found !== undefined && found.until > now() ? found : null;
  };
  return {
    remember(token, minted) {
      forget();
      kept.set(digestOf(token), { ...minted, until: now() + LIFETIME_MS, isUsed: false });
    },
    find,
    use(token) {
      const found = find(token);
      if (found !== null) found.isUsed = true;
    },
  };
}

const digestOf = (token: string) => createHash('sha256').update(token).digest('base64url');
