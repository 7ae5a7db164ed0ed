import type { AttemptTrace, EndedTrace } from '../../src/failover/trace.ts';
import { modelTarget } from '../../src/shared/target.ts';

const FLASH = modelTarget('google', 'flash');
/** One call that went well, but for what is said otherwise. */
export const attemptOf = (changed: Partial<AttemptTrace> = {}): AttemptTrace => ({
  key: 'google',
  target: FLASH,
  responseModel: null,
  otherModel: null,
  outcome: { kind: 'success' },
  isProbe: false,
  isHedge: false,
  parked: null,
  startedAt: 0,
  ms: 0,
  firstMs: 100,
  usage: null,
  span: null,
  ...changed,
});

/** One request that was answered at once, but for what is said otherwise. */
export function requestOf(changed: Partial<EndedTrace> = {}): EndedTrace {
  const { attempts = [attemptOf()] } = changed;
  const [first] = attempts;
  return {
    requestId: 'request-1',
    client: null,
    operation: 'chat',
    targets: [FLASH],
    startedAt: 0,
    ms: 0,
    waitedMs: 0,
    attempts,
    success: attempts.find(({ outcome }) => outcome.kind === 'success') ?? null,
    failovers: attempts.filter(({ key, target }, index) => {
      const before = attempts[index - 1] ?? first;
      return key !== before?.key || target !== before.target;
    }).length,
    hedge: null,
    span: null,
    end: { kind: 'answered' },
    ...changed,
  };
}
