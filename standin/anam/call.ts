import type { HeldKey } from '../key-ring.ts';
import type { TokenClaims } from './token.ts';

/** A call of a known key that no fault has refused. */
export interface AnamCall {
  readonly holder: HeldKey;
  /** Of the session token; null at the other steps. */
  readonly claims: TokenClaims | null;
  readonly text: string;
  readonly now: number;
  /** Where the stand-in was called: the engine is said to live there too. */
  readonly host: string;
}
