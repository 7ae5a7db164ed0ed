import type { AnamFault, AnamStep } from './anam/refusals.ts';
import type { SpoiledAnswer } from './google/answer.ts';
import type { GoogleRefusal } from './google/refusals.ts';
import type { BrokenAnswer } from './google/wire.ts';
import { JSON_TYPE, jsonReply, type Reply } from './reply.ts';

/** Everything that can go wrong at a provider, on demand, for one key. */
export type Fault = CallFault | Flaky;

/** What one call fails with. */
export type CallFault = GoogleRefusal | SpoiledAnswer | BrokenAnswer | AnamFault | ConnectionFault;

/** Every n-th call fails, counted from when the fault was set. */
interface Flaky {
  readonly kind: 'flaky';
  readonly every: number;
  readonly fault: CallFault;
}

/** Of both providers; with a step, only at this step of Anam's. */
type ConnectionFault = (Unreachable | Raw | Slow) & { readonly step?: AnamStep };

/** Never answers; resets the connection before an answer; or 200 with an empty body. */
interface Unreachable {
  readonly kind: 'hang' | 'reset' | 'empty_body';
}

/** Answers exactly this. A body that is no string is sent as JSON. */
interface Raw {
  readonly kind: 'raw';
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: unknown;
}

/** A good answer that starts this much later, in the clock's time. */
interface Slow {
  readonly kind: 'slow';
  readonly ms: number;
}

/**
 * Answers a call with the fault of its connection or, where there is none, otherwise.
 *
 * @param step Anam's; null for Google
 */
export function answerDespite(
  fault: CallFault | null,
  step: AnamStep | null,
  answer: () => Reply,
): Reply {
  if (fault === null || !isOfConnection(fault)) return answer();
  if (fault.step !== undefined && fault.step !== step) return answer();
  if (fault.kind === 'raw') return rawReply(fault);
  if (fault.kind !== 'slow') return UNREACHABLE[fault.kind];
  const reply = answer();
  return { ...reply, delayMs: (reply.delayMs ?? 0) + fault.ms };
}

/** Whether any provider can have this fault. */
export const isOfConnection = (fault: CallFault): fault is ConnectionFault =>
  fault.kind === 'raw' || fault.kind === 'slow' || fault.kind in UNREACHABLE;

const UNREACHABLE: Record<Unreachable['kind'], Reply> = {
  hang: { status: 200, headers: {}, body: [{ kind: 'hang' }] },
  reset: { status: 200, headers: {}, body: [{ kind: 'cut' }] },
  empty_body: { status: 200, headers: JSON_TYPE, body: '' },
};

const rawReply = ({ status, headers = {}, body }: Raw): Reply =>
  typeof body === 'string' ? { status, headers, body } : jsonReply(status, body, headers);
