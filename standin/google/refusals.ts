import type { CallFault } from '../key-ring.ts';
import type { Reply } from '../reply.ts';
import type { GoogleCallFacts } from './error.ts';
import type { GoogleRefusalKind, QuotaSpent } from './fault.ts';
import { GOOGLE_KEY_REFUSALS } from './key-refusals.ts';
import { inOddShape } from './odd-shape.ts';
import { GOOGLE_OTHER_REFUSALS } from './other-refusals.ts';
import { GOOGLE_QUOTA_REFUSALS, quotaSpent } from './quota-refusals.ts';

/** What refuses a call before anything is counted. */
export type Refusal = (call: GoogleCallFacts) => Reply;

/** @returns null for a fault that is no refusal, or none of Google's. */
export function refusalOf(fault: CallFault): Refusal | null {
  switch (fault.kind) {
    case 'minute_spent':
    case 'tokens_per_minute_spent':
    case 'day_spent':
    case 'both_spent':
      return (call) => quotaSpent(fault, call);
    case 'array_wrapped':
    case 'double_encoded':
    case 'string_code':
    case 'bare_details':
    case 'no_violations':
      return (call) => inOddShape(fault.kind, refuse(fault.fault ?? DAY_SPENT, call));
    default:
      return NAMED.get(fault.kind) ?? null;
  }
}

/** What a key that nobody knows is told. */
export const unknownKey: Refusal = GOOGLE_KEY_REFUSALS.bad_key;

const DAY_SPENT: QuotaSpent = { kind: 'day_spent' };

const NAMED: ReadonlyMap<string, Refusal> = new Map(
  Object.entries({
    ...GOOGLE_KEY_REFUSALS,
    ...GOOGLE_QUOTA_REFUSALS,
    ...GOOGLE_OTHER_REFUSALS,
  } satisfies Record<GoogleRefusalKind, Refusal>),
);

function refuse(fault: CallFault, call: GoogleCallFacts): Reply {
  const refusal = refusalOf(fault);
  if (refusal === null) throw new TypeError(`"${fault.kind}" is no refusal of Google's`);
  return refusal(call);
}
