import type { AskedProbe } from '../pool/peers.ts';
import type { Scope } from '../pool/scope.ts';
import type { Clock, Timer } from '../shared/clock.ts';
import type { ClaimAnswer, Exchange, Named } from './exchange.ts';
import type { Outbox } from './outbox.ts';

/** Sees to it that a key whose time has passed is tried by one process, not by each. */
export interface ProbeClaims {
  ask(trial: AskedProbe): void;
  /** Whether this process is just asking for a trial of it: what ends an older one ends not this one. */
  isAskedFor(scope: Scope): boolean;
  /** Leaves to the others whatever was allowed and not begun. */
  stop(): void;
}

export interface ProbeClaimsOptions {
  readonly exchange: Exchange;
  readonly clock: Clock;
  readonly outbox: Outbox;
  namedOf(scope: Scope): Named;
  learn(named: Named): void;
  /** The case of whoever waits for this scope is different now. */
  wake(scope: Scope): void;
}

/** An answer comes within a millisecond or so; whoever has to wait longer decides alone. */
const ANSWER_LIMIT_MS = 250;
/** A process that was held up itself finds the answer waiting, but hears of its late timers first. */
const LAST_LOOK_MS = 1;
/** Whoever may try, but gets no request to try with, leaves it to the others. */
const PERMIT_MS = 2000;
/** A claim ends by itself if its holder dies; while the trial lasts it is renewed. */
const HOLD_MS = 5000;
const RENEW_MS = 2000;
/** However soon there might be another answer. */
const MIN_RETRY_MS = 20;

export function createProbeClaims(options: ProbeClaimsOptions): ProbeClaims {
  const { exchange, clock, outbox, namedOf, learn, wake } = options;
  const timers = new Set<Timer>();
  const asked = new Set<AskedProbe>();
  const allowed = new Set<AskedProbe>();

  function after(ms: number, act: () => void): Timer {
    const timer = clock.after(ms, () => {
      timers.delete(timer);
      act();
    });
    timers.add(timer);
    return timer;
  }

  function cancel(timer: Timer): void {
    timers.delete(timer);
    timer.cancel();
  }

  function allow(trial: AskedProbe): void {
    trial.allow();
    allowed.add(trial);
    after(PERMIT_MS, () => {
      withdraw(trial);
      keepClaim(trial.scopes);
    });
  }

  function withdraw(trial: AskedProbe): void {
    allowed.delete(trial);
    for (const scope of trial.withdraw()) outbox.add(scope);
  }

  function keepClaim(scopes: readonly Scope[]): void {
    const tried = scopes.filter(({ health }) => health.state === 'half_open');
    if (tried.length === 0) return;
    // Whether or not it is renewed, the trial goes on to its end.
    if (exchange.isUp()) exchange.claim(tried.map(namedOf), HOLD_MS).catch(() => {});
    after(RENEW_MS, () => keepClaim(tried));
  }

  function answer(trial: AskedProbe, claimed: ClaimAnswer): void {
    if (claimed.isGranted) allow(trial);
    else {
      for (const named of claimed.records) learn(named);
      trial.deny(clock.now() + clamp(claimed.retryMs));
    }
    for (const scope of trial.scopes) wake(scope);
  }

  return {
    ask(trial) {
      if (!exchange.isUp()) {
        allow(trial);
        return;
      }
      let isOpen = true;
      asked.add(trial);
      const settle = (claimed: ClaimAnswer) => {
        if (!isOpen) return;
        isOpen = false;
        asked.delete(trial);
        cancel(limit);
        answer(trial, claimed);
      };
      let limit = after(ANSWER_LIMIT_MS, () => {
        limit = after(LAST_LOOK_MS, () => settle(GRANTED));
      });
      exchange.claim(trial.scopes.map(namedOf), HOLD_MS).then(settle, () => settle(GRANTED));
    },
    isAskedFor: (scope) => [...asked].some(({ scopes }) => scopes.includes(scope)),
    stop() {
      for (const trial of allowed) withdraw(trial);
      for (const timer of timers) timer.cancel();
      timers.clear();
    },
  };
}

/** What is parked for longer says so itself; nobody else's claim lasts longer without a word. */
const clamp = (retryMs: number) => Math.min(Math.max(retryMs, MIN_RETRY_MS), HOLD_MS);

const GRANTED: ClaimAnswer = { isGranted: true };
