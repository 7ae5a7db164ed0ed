import type { ApiKey } from '../shared/api-key.ts';

/** Which keys one request may have. */
export interface Choice {
  /** Ids of keys that must not be chosen. */
  readonly except?: ReadonlySet<string>;
  /** Whether the request can use a key at all; without it, any. */
  readonly only?: (key: ApiKey) => boolean;
}

/** Whether a key may be chosen; null where every one may, so that nobody has to be asked. */
export type Allows = ((key: ApiKey) => boolean) | null;

export const EVERY_KEY: Allows = null;

export function allowedBy({ except, only }: Choice): Allows {
  const hasExceptions = except !== undefined && except.size > 0;
  if (!hasExceptions) return only ?? EVERY_KEY;
  if (only === undefined) return ({ id }) => !except.has(id);
  return (key) => !except.has(key.id) && only(key);
}
