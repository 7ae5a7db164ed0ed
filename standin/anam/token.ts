import { createHmac, randomBytes } from 'node:crypto';
import { isObject, parseJson } from '../json.ts';

/** What a session token says: the browser SDK reads `type` and `accountId`. */
export interface TokenClaims {
  readonly type: 'ephemeral' | 'stateful';
  readonly accountId: string;
  /** Unique, and the place of its API key among Anam's keys. */
  readonly jti: string;
  readonly keyIndex: number;
  /** Seconds since the epoch. */
  readonly iat: number;
  readonly exp: number;
}

/** Mints session tokens and recognises its own, without remembering them. */
export interface TokenMint {
  mint(claims: Pick<TokenClaims, 'type' | 'accountId' | 'keyIndex'>, now: number): string;
  /** @returns null for a token that is not ours or has expired. */
  verify(token: string, now: number): TokenClaims | null;
}

const LIFETIME_SECONDS = 3_600;
const SECOND_MS = 1_000;

/** HS256 under a secret of this run. Tokens last an hour, whatever the speed. */
export function createTokenMint(secret: Buffer = randomBytes(32)): TokenMint {
  let minted = 0;
  const sign = (text: string) => createHmac('sha256', secret).update(text).digest('base64url');
  return {
    mint(claims, now) {
      minted += 1;
      const iat = Math.floor(now / SECOND_MS);
      const payload = { ...claims, jti: `token-${minted}`, iat, exp: iat + LIFETIME_SECONDS };
      const text = `${HEADER}.${encode(payload)}`;
      return `${text}.${sign(text)}`;
    },
    verify(token, now) {
      const [header, payload = '', signature] = token.split('.');
      if (signature !== sign(`${header}.${payload}`)) return null;
      const claims = parseJson(Buffer.from(payload, 'base64url').toString());
      return isOurs(claims) && now < claims.exp * SECOND_MS ? claims : null;
    },
  };
}

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const HEADER = encode({ alg: 'HS256', typ: 'JWT' });

/** The signature vouches for the rest. */
const isOurs = (claims: unknown): claims is TokenClaims =>
  isObject(claims) && typeof claims.exp === 'number';
