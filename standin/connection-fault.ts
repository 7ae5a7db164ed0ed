import type { AnamStep } from './anam/fault.ts';
import type { Raw, Unreachable } from './fault.ts';
import type { CallFault } from './key-ring.ts';
import { JSON_TYPE, jsonReply, type Reply } from './reply.ts';

/** @returns null for a fault that is not of the connection, or of another step than this one. */
export function connectionReply(fault: CallFault, step: AnamStep | null = null): Reply | null {
  switch (fault.kind) {
    case 'hang':
    case 'reset':
    case 'empty_body':
      return strikes(fault, step) ? UNREACHABLE[fault.kind] : null;
    case 'raw':
      return strikes(fault, step) ? rawReply(fault) : null;
    default:
      return null;
  }
}

/** How much later the call is answered, in milliseconds. */
export const slownessMs = (fault: CallFault | null, step: AnamStep | null = null): number =>
  fault?.kind === 'slow' && strikes(fault, step) ? fault.ms : 0;

/** Whether a fault is one of those that any service can have. */
export const isOfConnection = ({ kind }: CallFault): boolean =>
  kind === 'raw' || kind === 'slow' || kind in UNREACHABLE;

const UNREACHABLE: Record<Unreachable['kind'], Reply> = {
  hang: { status: 200, headers: {}, body: [{ kind: 'hang' }] },
  reset: { status: 200, headers: {}, body: [{ kind: 'cut' }] },
  empty_body: { status: 200, headers: JSON_TYPE, body: '' },
};

const strikes = (fault: { readonly step?: AnamStep }, step: AnamStep | null) =>
  fault.step === undefined || fault.step === step;

const rawReply = ({ status, headers = {}, body }: Raw): Reply =>
  typeof body === 'string' ? { status, headers, body } : jsonReply(status, body, headers);
