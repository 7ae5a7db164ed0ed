import type { Redact } from './redact.ts';

/** What an operator says of a change: in which request, who makes it, and why. */
export interface Order {
  readonly requestId: string;
  readonly who: string | null;
  readonly why: string | null;
}

/** People paste the key that they have just used. */
export const redactOrder = ({ requestId, who, why }: Order, redact: Redact): Order => ({
  requestId,
  who: who === null ? null : redact(who),
  why: why === null ? null : redact(why),
});
