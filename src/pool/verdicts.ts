import type { Failure, FailureKind } from '../shared/failure.ts';
import { nextPacificMidnight } from '../shared/pacific-midnight.ts';

/** What a finding is about: one key, one key's use of a model, a project, or a project's quota of a model. */
export type ScopeKind = 'key' | 'key_model' | 'project' | 'project_model';

/** How a parked scope counts: it comes back by itself, or somebody has to act. */
export type Effect = 'cooling_down' | 'exhausted';

type Proof = 'everything' | 'key' | 'nothing';

/** What a failure does: to the scope, and to the request. */
export interface Verdict<F extends Failure = Failure> {
  /** The scope to park, and how long before the pool caps it at the cooldown; null parks nothing. */
  readonly park: (failure: F, now: number) => Park | null;
  /** Which half-open scopes a trial with this outcome opens. */
  readonly proves: Proof;
  readonly request: RequestAction;
}

export interface Park {
  readonly scope: ScopeKind;
  readonly ms: number;
  readonly effect: Effect;
  /** Whether it was the provider that said how long. */
  readonly isHinted: boolean;
}

/**
 * What becomes of the request: the next key; another key, but only a few and after a pause; an
 * answer to the client (its own fault, or content that was blocked); our own fault; silence.
 */
export type RequestAction = 'next_key' | 'another_key' | 'answer' | 'our_fault' | 'stop';

const WHOLE_COOLDOWN = Number.POSITIVE_INFINITY;
const parksNothing = () => null;

const VERDICTS = {
  rate_limited: {
    park: ({ retryAfterMs, of }) => ({
      ...cooling(of ?? 'project_model', retryAfterMs ?? WHOLE_COOLDOWN),
      isHinted: retryAfterMs !== undefined,
    }),
    proves: 'key',
    request: 'next_key',
  },
  quota_exhausted: {
    park: (_, now) => cooling('project_model', nextPacificMidnight(now) - now),
    proves: 'key',
    request: 'next_key',
  },
  out_of_credit: {
    park: () => exhausted('project'),
    proves: 'key',
    request: 'next_key',
  },
  key_rejected: {
    park: () => exhausted('key'),
    proves: 'nothing',
    request: 'next_key',
  },
  model_unavailable: {
    park: ({ whose }) => (whose === 'caller' ? null : cooling(`${whose}_model`, WHOLE_COOLDOWN)),
    proves: 'nothing',
    request: 'next_key',
  },
  request_fault: { park: parksNothing, proves: 'everything', request: 'answer' },
  content_blocked: { park: parksNothing, proves: 'everything', request: 'answer' },
  upstream_down: { park: parksNothing, proves: 'nothing', request: 'another_key' },
  misconfigured: { park: parksNothing, proves: 'nothing', request: 'our_fault' },
  client_gone: { park: parksNothing, proves: 'nothing', request: 'stop' },
} satisfies { readonly [K in FailureKind]: Verdict<Extract<Failure, { kind: K }>> };

/** The row of a failure; the compiler cannot see by itself that a failure and its row belong together. */
export const verdictOf = (failure: Failure) => VERDICTS[failure.kind] as Verdict;

/** What an attempt with this outcome has shown to be in order. */
export const provedBy = (failure: Failure): Proof =>
  failure.kind === 'request_fault' && failure.provesNothing
    ? 'nothing'
    : VERDICTS[failure.kind].proves;

const cooling = (scope: ScopeKind, ms: number): Park => ({
  scope,
  ms,
  effect: 'cooling_down',
  isHinted: false,
});
const exhausted = (scope: ScopeKind): Park => ({
  scope,
  ms: WHOLE_COOLDOWN,
  effect: 'exhausted',
  isHinted: false,
});
