import type { Redact } from '../shared/redact.ts';

/** A provider's refusal as it came over the wire. */
export interface ProviderAnswer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
  /** Whether the body broke off, or we stopped reading it. */
  readonly isCut?: boolean;
}

/** What every classifier needs besides the answer itself. */
export interface ClassifyContext {
  readonly redact: Redact;
  /** Milliseconds since the epoch: what a `Retry-After` date is compared with. */
  readonly now: number;
}
