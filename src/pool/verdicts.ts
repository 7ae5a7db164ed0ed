import { FAILURE_KINDS, type Failure, type FailureKind } from '../shared/failure.ts';
import { nextPacificMidnight } from '../shared/pacific-midnight.ts';
import type { RequestShape } from '../shared/request-shape.ts';

/** What a finding is about: a key, a key's use of a model, a project, or a project's quota of a model. */
export type ScopeKind = 'key' | 'key_model' | 'project' | 'project_model';

/** Why a scope is parked: what an attempt met, or an action of the operator. */
export type Cause = FailureKind | 'operator';

/** Whether a parked scope becomes usable by itself once its cooldown has passed, or a person must act. */
export const EFFECTS = ['cooling_down', 'needs_action'] as const;
export type Effect = (typeof EFFECTS)[number];

/** Which of the scopes that a probe tests an outcome opens. */
type Proof = 'everything' | 'key' | 'nothing';

/** What a failure does to the pool and to the request. */
export interface Verdict<F extends Failure = Failure> {
  /** Null parks nothing. */
  readonly park: (failure: F, now: number) => Park | null;
  readonly proves: Proof;
  readonly request: RequestAction;
}

/** `ms` is before the pool limits it to the cooldown. */
export type Park =
  | {
      readonly scope: ScopeKind;
      readonly ms: number;
      readonly effect: Effect;
      /** Whether the provider set the time. */
      readonly isHinted: boolean;
    }
  | {
      /** One feature of special requests, for one project and model. */
      readonly scope: 'project_model_feature';
      readonly feature: string;
      readonly ms: number;
    };

/**
 * What the request does next. `next_project`: the next key, but only of a few projects. `another_key`:
 * only a few keys, after a pause. `another_try`: one more key, else the caller gets the failure. `answer`:
 * the caller gets the failure. `our_fault`: 502. `timeout`: 504.
 */
export type RequestAction =
  | 'next_key'
  | 'next_project'
  | 'another_key'
  | 'another_try'
  | 'answer'
  | 'our_fault'
  | 'timeout'
  | 'stop';

const WHOLE_COOLDOWN = Number.POSITIVE_INFINITY;
const parksNothing = () => null;

const VERDICTS = {
  rate_limited: {
    park: ({ retryAfterMs, of }) =>
      cooling(of ?? 'project_model', retryAfterMs ?? WHOLE_COOLDOWN, retryAfterMs !== undefined),
    proves: 'key',
    request: 'next_key',
  },
  quota_exhausted: {
    park: (_, now) => cooling('project_model', nextPacificMidnight(now) - now),
    proves: 'key',
    request: 'next_key',
  },
  out_of_credit: {
    park: () => needsAction('project'),
    proves: 'key',
    request: 'next_key',
  },
  key_rejected: {
    park: () => needsAction('key'),
    proves: 'nothing',
    request: 'next_key',
  },
  model_unavailable: {
    park: ({ whose }) => (whose === null ? null : cooling(`${whose}_model`, WHOLE_COOLDOWN)),
    proves: 'nothing',
    request: 'next_key',
  },
  not_owned: { park: parksNothing, proves: 'nothing', request: 'next_key' },
  request_fault: { park: parksNothing, proves: 'everything', request: 'answer' },
  content_blocked: { park: parksNothing, proves: 'everything', request: 'answer' },
  unusable_answer: { park: parksNothing, proves: 'everything', request: 'another_try' },
  upstream_down: { park: parksNothing, proves: 'nothing', request: 'another_key' },
  misconfigured: { park: parksNothing, proves: 'nothing', request: 'our_fault' },
  deadline_exceeded: { park: parksNothing, proves: 'nothing', request: 'timeout' },
  client_gone: { park: parksNothing, proves: 'nothing', request: 'stop' },
  internal_error: { park: parksNothing, proves: 'nothing', request: 'our_fault' },
} satisfies { readonly [K in FailureKind]: Verdict<Extract<Failure, { kind: K }>> };

/** The kinds of failure that may park a scope. */
export const PARKING_KINDS: readonly FailureKind[] = FAILURE_KINDS.filter(
  (kind) => VERDICTS[kind].park !== parksNothing,
);

/** The verdict for a request of this shape, which is asked for only where it matters. */
export function verdictOf(failure: Failure, shape: () => RequestShape): Verdict {
  if (isTooLarge(failure, shape)) return TOO_LARGE;
  const feature = 'isUnexplained' in failure ? shape().feature : null;
  // The compiler cannot see that a failure and its row belong together.
  return feature === null ? (VERDICTS[failure.kind] as Verdict) : unexplained(feature);
}

/** The request may be what was refused: only its feature is parked. */
const unexplained = (feature: string): Verdict => ({
  park: (failure) => {
    const hintMs = failure.kind === 'rate_limited' ? failure.retryAfterMs : undefined;
    return { scope: 'project_model_feature', feature, ms: hintMs ?? WHOLE_COOLDOWN };
  },
  proves: 'nothing',
  request: 'next_project',
});

/** A request larger than the whole limit never fits, while smaller ones do. */
const TOO_LARGE: Verdict = { park: parksNothing, proves: 'key', request: 'next_project' };

const isTooLarge = (failure: Failure, shape: () => RequestShape): boolean =>
  failure.kind === 'rate_limited' &&
  failure.inputTokenLimit !== undefined &&
  shape().tokens > failure.inputTokenLimit;

export const provedBy = (failure: Failure, { proves }: Verdict): Proof =>
  failure.kind === 'request_fault' && failure.provesNothing ? 'nothing' : proves;

const cooling = (scope: ScopeKind, ms: number, isHinted = false) =>
  ({ scope, ms, effect: 'cooling_down', isHinted }) as const;
const needsAction = (scope: ScopeKind) =>
  ({ scope, ms: WHOLE_COOLDOWN, effect: 'needs_action', isHinted: false }) as const;
