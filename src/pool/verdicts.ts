import {
  FAILURE_KINDS,
  type Failure,
  type FailureKind,
  type Rejection,
} from '../shared/failure.ts';
import { nextPacificMidnight } from '../shared/pacific-midnight.ts';
import { FUNCTIONS, type RequestShape } from '../shared/request-shape.ts';

/**
 * What a finding is about: a key, a key's use of a model, a project, a project's quota of a model, or the account that
 * pays for projects.
 */
export type ScopeKind = 'key' | 'key_model' | 'project' | 'project_model' | 'billing';

/** Why a scope is parked: what an attempt met, an action of the operator, or a quota that is used up as far as is known. */
export type Cause = FailureKind | 'operator' | 'paced';

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
      readonly rejection?: Rejection | undefined;
    }
  | {
      /** What is special about a request, for one project and model: requests with all of it. */
      readonly scope: 'project_model_feature';
      readonly features: readonly string[];
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
  quota_unexplained: {
    park: ({ retryAfterMs }) =>
      cooling('project_model', retryAfterMs ?? WHOLE_COOLDOWN, retryAfterMs !== undefined),
    proves: 'key',
    request: 'next_key',
  },
  request_too_large: { park: parksNothing, proves: 'key', request: 'next_project' },
  out_of_credit: {
    park: ({ of }) => needsAction(of ?? 'project'),
    proves: 'key',
    request: 'next_key',
  },
  key_rejected: {
    park: ({ rejection }) => ({ ...needsAction('key'), rejection }),
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
  superseded: { park: parksNothing, proves: 'nothing', request: 'stop' },
  internal_error: { park: parksNothing, proves: 'nothing', request: 'our_fault' },
} satisfies { readonly [K in FailureKind]: Verdict<Extract<Failure, { kind: K }>> };

/** The kinds of failure that may park a scope. */
export const PARKING_KINDS: readonly FailureKind[] = FAILURE_KINDS.filter(
  (kind) => VERDICTS[kind].park !== parksNothing,
);

/** The verdict for a request of this shape, which is asked for only where it matters. */
export function verdictOf(failure: Failure, shape: () => RequestShape): Verdict {
  if ('mayBeTooLarge' in failure) return VERDICTS.request_too_large;
  const features = suspectedIn(failure, shape);
  // The compiler cannot see that a failure and its row belong together.
  return features.length === 0 ? (VERDICTS[failure.kind] as Verdict) : refusesFeatures(features);
}

/** What of the request may be the cause, instead of the key or its quota. */
function suspectedIn(failure: Failure, shape: () => RequestShape): readonly string[] {
  // Nothing is quoted here, and functions are metered as text is.
  if (failure.kind === 'quota_unexplained') {
    return shape().features.filter((feature) => feature !== FUNCTIONS);
  }
  return 'mayConcernRequest' in failure ? shape().features : [];
}

const refusesFeatures = (features: readonly string[]): Verdict => ({
  park: (failure, now) => {
    const { park } = VERDICTS[failure.kind] as Verdict;
    const ms = park(failure, now)?.ms ?? WHOLE_COOLDOWN;
    return { scope: 'project_model_feature', features, ms };
  },
  proves: 'nothing',
  request: 'next_project',
});

/** The size of a request, estimated, and the most that it could be. */
type Size = Pick<RequestShape, 'tokens' | 'mostTokens'>;

/**
 * A request may be larger than the whole limit of which the refusal says that it was reached.
 *
 * @param sizeOf null where the project's minute seems to be used up, so that the request is not the reason
 */
export function judgeSize(failure: Failure, sizeOf: () => Size | null): Failure {
  if (failure.kind !== 'rate_limited' || failure.isOfTokens !== true) return failure;
  const { message, status, limits = [] } = failure;
  const inputTokenLimit = Math.min(...limits.map(({ value }) => value));
  const size = sizeOf();
  if (size === null || size.mostTokens <= inputTokenLimit) return failure;
  if (size.tokens <= inputTokenLimit) return { ...failure, mayBeTooLarge: true };
  const described = status === undefined ? { message } : { message, status };
  return { kind: 'request_too_large', inputTokenLimit, ...described };
}

export const provedBy = (failure: Failure, { proves }: Verdict): Proof =>
  failure.kind === 'request_fault' && failure.provesNothing ? 'nothing' : proves;

const cooling = (scope: ScopeKind, ms: number, isHinted = false) =>
  ({ scope, ms, effect: 'cooling_down', isHinted }) as const;
const needsAction = (scope: ScopeKind) =>
  ({ scope, ms: WHOLE_COOLDOWN, effect: 'needs_action', isHinted: false }) as const;
