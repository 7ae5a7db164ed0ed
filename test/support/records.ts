import type { AttemptTrace, RequestTrace } from '../../src/failover/trace.ts';
import { modelTarget } from '../../src/shared/target.ts';

const FLASH = modelTarget('google', 'flash');
const TOLD = {
  requestId: 'request-1',
  service: 'google',
  operation: 'chat',
  startedAt: 0,
  ms: 0,
  waitedMs: 0,
} as const;

/** One call that went well, but for what is said otherwise. */
export const attemptOf = (changed: Partial<AttemptTrace> = {}): AttemptTrace => ({
  ...TOLD,
  key: 'google',
  target: FLASH,
  outcome: { kind: 'success' },
  isProbe: false,
  parked: null,
  firstMs: 100,
  usage: null,
  ...changed,
});

/** One request that was answered at once, but for what is said otherwise. */
export const requestOf = (changed: Partial<RequestTrace> = {}): RequestTrace => ({
  ...TOLD,
  targets: [FLASH],
  attempts: [attemptOf()],
  end: { kind: 'answered' },
  ...changed,
});
