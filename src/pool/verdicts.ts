import { FAILURE_KINDS, type Failure, type FailureKind } from '../shared/failure.ts';
import { nextPacificMidnight } from '../shared/pacific-midnight.ts';
import type { RequestShape } from '../shared/request-shape.ts';

/** What a finding is about: one key, one key's use of a model, a project, or a project's quota of a model. */
export type ScopeKind = 'key' | 'key_model' | 'project' | 'project_model';

/** How a parked scope becomes usable: by itself once its cooldown has passed, or after an action by a person. */
export const EFFECTS = ['cooling_down', 'needs_action'] as const;
export type Effect = (typeof EFFECTS)[number];

type Proof = 'everything' | 'key' | 'nothing';

/** What a failure does: to the scope, and to the request. */
export interface Verdict<F extends Failure = Failure> {
  /** The scope to park, and how long before the pool caps it at the cooldown; null parks nothing. */
  readonly park: (failure: F, now: number) => Park | null;
  /** Which half-open scopes a trial with this outcome opens. */
  readonly proves: Proof;
  readonly request: RequestAction;
}

export type Park =
  | {
      readonly scope: ScopeKind;
      readonly ms: number;
      readonly effect: Effect;
      /** Whether it was the provider that said how long. */
      readonly isHinted: boolean;
    }
  | {
      /** What is special about a request, for one project and model. */
      readonly scope: 'project_model_feature';
      readonly feature: string;
      readonly ms: number;
    };

/**
 * What the request does next. `next_project`: the next key, but only of a few projects. `another_key`:
 * only a few keys, after a pause. `answer`: the caller gets the failure. `our_fault`: 502. `timeout`: 504.
 */
export type RequestAction =
  | 'next_key'
  | 'next_project'
  | 'another_key'
  | 'answer'
  | 'our_fault'
  | 'timeout'
  | 'stop';

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
    park: ({ whose }) => cooling(`${whose}_model`, WHOLE_COOLDOWN),
    proves: 'nothing',
    request: 'next_key',
  },
  not_owned: { park: parksNothing, proves: 'nothing', request: 'next_key' },
  request_fault: { park: parksNothing, proves: 'everything', request: 'answer' },
  content_blocked: { park: parksNothing, proves: 'everything', request: 'answer' },
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

/** A refusal that a special request may have caused: plain requests go on with the key. */
const unexplained = (feature: string): Verdict => ({
  park: (failure) => {
    const hintMs = failure.kind === 'rate_limited' ? failure.retryAfterMs : undefined;
    return { scope: 'project_model_feature', feature, ms: hintMs ?? WHOLE_COOLDOWN };
  },
  proves: 'nothing',
  request: 'next_project',
});

/** The request will never fit into the limit of this project, and smaller ones do. */
const TOO_LARGE: Verdict = { park: parksNothing, proves: 'key', request: 'next_project' };

/** The row of a failure; the compiler cannot see by itself that a failure and its row belong together. */
export function verdictOf(failure: Failure, shape: () => RequestShape): Verdict {
  if (isTooLarge(failure, shape)) return TOO_LARGE;
  const feature = 'isUnexplained' in failure ? shape().feature : null;
  return feature === null ? (VERDICTS[failure.kind] as Verdict) : unexplained(feature);
}

/** Whether the request alone is larger than the limit that refused it. */
const isTooLarge = (failure: Failure, shape: () => RequestShape): boolean =>
  failure.kind === 'rate_limited' &&
  failure.inputTokenLimit !== undefined &&
  shape().tokens > failure.inputTokenLimit;

/** What an attempt with this outcome has shown to be in order. */
export const provedBy = (failure: Failure, { proves }: Verdict): Proof =>
  failure.kind === 'request_fault' && failure.provesNothing ? 'nothing' : proves;

const cooling = (scope: ScopeKind, ms: number) =>
  ({ scope, ms, effect: 'cooling_down', isHinted: false }) as const;
const needsAction = (scope: ScopeKind) =>
  ({ scope, ms: WHOLE_COOLDOWN, effect: 'needs_action', isHinted: false }) as const;
