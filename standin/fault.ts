import type { AnamFault, AnamStep } from './anam/fault.ts';
import type { GoogleFault } from './google/fault.ts';

/** Everything that can go wrong at a provider, on demand, for one key. */
export type Fault = GoogleFault | AnamFault | Unreachable | Raw | Slow | Flaky;

/** Of both services: what happens to the connection itself. */
export interface Unreachable {
  /** Never answers; resets the connection before an answer; or 200 with an empty body. */
  readonly kind: 'hang' | 'reset' | 'empty_body';
  /** Anam: only at this step. Default: everywhere. */
  readonly step?: AnamStep;
}

/** Of both services: answers exactly this. A body that is no string is sent as JSON. */
export interface Raw {
  readonly kind: 'raw';
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: unknown;
  readonly step?: AnamStep;
}

/** Of both services: a good answer that starts this much later, in the clock's time. */
interface Slow {
  readonly kind: 'slow';
  readonly ms: number;
  readonly step?: AnamStep;
}

/** Of both services: every n-th call fails, counted from when the fault was set. */
export interface Flaky {
  readonly kind: 'flaky';
  readonly every: number;
  readonly fault: Exclude<Fault, Flaky>;
}
