import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { ApiKey } from '../shared/api-key.ts';
import type { Clock } from '../shared/clock.ts';
import { atMost } from '../shared/clock.ts';
import type { TextStore } from '../shared/shared-store.ts';
import { createMintedTokens, type MintedToken } from './minted-tokens.ts';
import { nameFor, seal, unseal } from './sealed.ts';

/** The session tokens of the last hour, whichever process minted them. */
export interface SharedTokens {
  remember(token: string, minted: MintedToken): void;
  /** @returns null for a token that nobody who answers at once has minted within the hour */
  find(token: string): Promise<MintedToken | null>;
  /**
   * Claims its one conversation, until it is released again.
   *
   * @returns whether nobody had it already
   */
  claim(token: string): Promise<boolean>;
  release(token: string): void;
}

export interface SharedTokensOptions {
  readonly clock: Clock;
  readonly keys: readonly ApiKey[];
  /** Null for a process that is alone. */
  readonly texts: TextStore | null;
}

/** What is on the shelf is there in a millisecond or so; whoever has to wait longer goes on without. */
const ANSWER_LIMIT_MS = 250;
const LIFETIME_MS = 3_600_000;
/** A persona may be longer; its session then starts where it was minted, or not elsewhere. */
const MAX_LENGTH = 100_000;

export function createSharedTokens({
  clock,
  keys,
  texts: shelf,
}: SharedTokensOptions): SharedTokens {
  const own = createMintedTokens(clock);
  if (shelf === null) {
    return {
      ...own,
      find: async (token) => own.find(token),
      claim: async (token) => own.claim(token),
    };
  }
  const idOf = new Map(keys.map((key) => [hashOf(key), key.id]));
  const hashById = new Map(keys.map((key) => [key.id, hashOf(key)]));
  const soon = <T>(answer: Promise<T>, otherwise: T) =>
    atMost(ANSWER_LIMIT_MS, clock, answer, otherwise);
  const claimOf = (token: string) => `${nameFor(token)}:claim`;
  return {
    remember(token, minted) {
      own.remember(token, minted);
      const { keyId, clientPersona } = minted;
      const text = seal(JSON.stringify({ key: hashById.get(keyId), clientPersona }), token);
      if (text.length <= MAX_LENGTH) shelf.put(nameFor(token), text, LIFETIME_MS).catch(() => {});
    },
    async find(token) {
      const known = own.find(token);
      if (known !== null) return known;
      const sealed = await soon(shelf.get(nameFor(token)), null);
      const read = sealed === null ? null : readMinted(unseal(sealed, token));
      const keyId = read === null ? undefined : idOf.get(read.key);
      if (read === null || keyId === undefined) return null;
      own.remember(token, { keyId, clientPersona: read.clientPersona });
      return own.find(token);
    },
    async claim(token) {
      if (!own.claim(token)) return false;
      if (await soon(shelf.take(claimOf(token), LIFETIME_MS), true)) return true;
      own.release(token);
      return false;
    },
    release(token) {
      own.release(token);
      shelf.remove(claimOf(token)).catch(() => {});
    },
  };
}

/** A key has one id here and perhaps another elsewhere. */
const hashOf = ({ provider, secret }: ApiKey) =>
  createHash('sha256').update(`${provider}\n${secret.reveal()}`).digest('base64url');

const MINTED = z.object({
  key: z.string(),
  clientPersona: z.record(z.string(), z.unknown()).nullable(),
});

function readMinted(text: string | null) {
  try {
    return text === null ? null : (MINTED.safeParse(JSON.parse(text)).data ?? null);
  } catch {
    return null;
  }
}
