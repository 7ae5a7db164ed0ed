import type { Fault } from '../../../standin/fault.ts';

/** A kind of caller: a good request of its own, and what it takes to have it refused. */
export interface Caller {
  readonly title: string;
  readonly method: 'get' | 'post';
  /** As the document has it; `{model}` is one that is served, `{id}` a key that there is. */
  readonly path: string;
  /** Whether its token is minted here; else whatever is in the headers. */
  readonly mints?: boolean;
  /** Whether it shows the cookie of a login; else whatever is in the headers. */
  readonly logsIn?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  /** A request with a wrong token. */
  readonly guess?: Sent;
  /** Whether it is refused to pages of other origins. */
  readonly isOfOwnOrigin?: boolean;
  /** Whether a browser without the cookie is shown the way. */
  readonly isSentToLogin?: boolean;
  /** A body that is refused by us, and one that asks for a model which is not served. */
  readonly faulty?: unknown;
  readonly ofUnknownModel?: unknown;
  /** `?limit=0`: one that is refused by us. */
  readonly faultyQuery?: string;
  /** Whether its body is read as it comes, whatever its type. */
  readonly isRaw?: boolean;
  /** Whether a compressed body is unpacked. */
  readonly isUnpacked?: boolean;
  /** So many requests a minute. */
  readonly limit?: number;
  /** Null where no key is needed. */
  readonly key: 'g-one' | 'a-one' | null;
  /** By the status that the caller then sees. */
  readonly faults: Readonly<Record<number, Fault>>;
}

/** What is other than in the good request. */
export interface Sent {
  readonly method?: string;
  readonly model?: string;
  readonly key?: string;
  readonly query?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}
