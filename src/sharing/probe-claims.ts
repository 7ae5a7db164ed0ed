import type { ProbeRequest } from '../pool/half-open.ts';
import type { Scope } from '../pool/scope.ts';
import type { Clock, Timer } from '../shared/clock.ts';
import type { Publisher } from './publisher.ts';
import type { ClaimAnswer, NamedRecord, RecordStore } from './redis-store.ts';

/** Claims probes in the shared store, so that one instance probes a scope whose cooldown has passed, not each. */
export interface ProbeClaims {
  ask(probe: ProbeRequest): void;
  /** Whether this instance is claiming a probe of it right now: the end of an older probe must not end that claim. */
  isAskedFor(scope: Scope): boolean;
  /** Gives back every claim whose probe has not begun. */
  stop(): void;
}

export interface ProbeClaimsOptions {
  readonly store: RecordStore;
  readonly clock: Clock;
  readonly publisher: Publisher;
  recordOf(scope: Scope): NamedRecord;
  merge(record: NamedRecord): void;
  notify(scope: Scope): void;
}

/** An answer usually takes a millisecond; without one in this time the instance probes without a claim. */
const ANSWER_LIMIT_MS = 250;
/** After a stall of this process its late timers fire before it reads the answer that has already arrived. */
const LAST_LOOK_MS = 1;
/** A granted probe that no request has begun by then is given back. */
const UNUSED_LIMIT_MS = 2000;
/** A claim expires by itself when its holder dies; while the probe lasts it is renewed. */
const HOLD_MS = 5000;
const RENEW_MS = 2000;
const MIN_RETRY_MS = 20;

export function createProbeClaims(options: ProbeClaimsOptions): ProbeClaims {
  const { store, clock, publisher, recordOf, merge, notify } = options;
  const timers = new Set<Timer>();
  const asked = new Set<ProbeRequest>();
  const allowed = new Set<ProbeRequest>();

  function after(ms: number, act: () => void): Timer {
    const timer = clock.after(ms, () => {
      timers.delete(timer);
      act();
    });
    timers.add(timer);
    return timer;
  }

  function allow(probe: ProbeRequest): void {
    probe.allow();
    allowed.add(probe);
    after(UNUSED_LIMIT_MS, () => {
      withdraw(probe);
      keepClaim(probe.scopes);
    });
  }

  function withdraw(probe: ProbeRequest): void {
    allowed.delete(probe);
    for (const scope of probe.withdraw()) publisher.add(scope);
  }

  function keepClaim(scopes: readonly Scope[]): void {
    const probed = scopes.filter(({ health }) => health.state === 'probing');
    if (probed.length === 0) return;
    // Renewed or not, the probe goes on to its end.
    if (store.isUp()) store.claim(probed.map(recordOf), HOLD_MS).catch(() => {});
    after(RENEW_MS, () => keepClaim(probed));
  }

  function settle(probe: ProbeRequest, answer: ClaimAnswer): void {
    if (answer.isGranted) allow(probe);
    else {
      for (const record of answer.records) merge(record);
      const retryMs = Math.min(Math.max(answer.retryMs, MIN_RETRY_MS), HOLD_MS);
      probe.deny(clock.now() + retryMs);
    }
    for (const scope of probe.scopes) notify(scope);
  }

  return {
    ask(probe) {
      if (!store.isUp()) {
        allow(probe);
        return;
      }
      asked.add(probe);
      const answered = (answer: ClaimAnswer) => {
        if (!asked.delete(probe)) return;
        limit.cancel();
        timers.delete(limit);
        settle(probe, answer);
      };
      let limit = after(ANSWER_LIMIT_MS, () => {
        limit = after(LAST_LOOK_MS, () => answered(GRANTED));
      });
      store.claim(probe.scopes.map(recordOf), HOLD_MS).then(answered, () => answered(GRANTED));
    },
    isAskedFor: (scope) => [...asked].some(({ scopes }) => scopes.includes(scope)),
    stop() {
      for (const probe of allowed) withdraw(probe);
      for (const timer of timers) timer.cancel();
      timers.clear();
    },
  };
}

const GRANTED: ClaimAnswer = { isGranted: true };
