import type { ServiceErrorCode } from '../failover/service-error.ts';
import type { EndedTrace } from '../failover/trace.ts';
import { WEB } from '../failover/wait-queue.ts';
import { isoTime, MINUTE_MS } from '../shared/clock.ts';
import type { FailureKind } from '../shared/failure.ts';
import type { FailureGroup } from './reports.ts';
import type { KeptRequest } from './request-report.ts';
import { RecentCount } from './troubles.ts';

/** The failed requests of the last hour, grouped by reason, service and model. */
export interface FailureGroups {
  /** Counts a request unless it was answered or its client left. */
  add(kept: KeptRequest): void;
  /** The group with the latest failure first. @param now milliseconds since the epoch */
  list(now: number): readonly FailureGroup[];
  /** The latest requests of each group. */
  requests(): readonly KeptRequest[];
}

const MAX_GROUPS = 50;
const MAX_REQUESTS = 5;
const MAX_CLIENTS = 10;
const KEPT_MINUTES = 60;

export function createFailureGroups(): FailureGroups {
  /** The group with the latest failure is the last. */
  const groups = new Map<string, Group>();
  return {
    add(kept) {
      const subject = subjectOf(kept.request);
      if (subject === null) return;
      const name = nameOf(subject);
      const group = groups.get(name) ?? new Group(subject);
      groups.delete(name);
      groups.set(name, group);
      group.add(kept);
      const [first] = groups.keys();
      if (groups.size > MAX_GROUPS && first !== undefined) groups.delete(first);
    },
    list(now) {
      for (const [name, group] of groups) if (group.isOver(now)) groups.delete(name);
      return [...groups.values()].reverse().map((group) => group.report(now));
    },
    requests: () => [...groups.values()].flatMap(({ requests }) => requests),
  };
}

/** One list of all instances' groups, the one with the latest failure first. */
export function mergeFailures(lists: readonly (readonly FailureGroup[])[]): FailureGroup[] {
  const merged = new Map<string, FailureGroup>();
  for (const group of lists.flat()) {
    const known = merged.get(nameOf(group));
    merged.set(nameOf(group), known === undefined ? group : mergeTwo(known, group));
  }
  return [...merged.values()].sort((a, b) => compare(b.last, a.last)).slice(0, MAX_GROUPS);
}

function mergeTwo(one: FailureGroup, other: FailureGroup): FailureGroup {
  const [later, earlier] = compare(one.last, other.last) > 0 ? [one, other] : [other, one];
  return {
    ...later,
    count: one.count + other.count,
    since: compare(one.since, other.since) < 0 ? one.since : other.since,
    clients: [...new Set([...later.clients, ...earlier.clients])].slice(0, MAX_CLIENTS),
    requestIds: [...later.requestIds, ...earlier.requestIds].slice(0, MAX_REQUESTS),
  };
}

const compare = (a: string, b: string) => (a < b ? -1 : Number(a > b));

type Subject = Pick<FailureGroup, 'code' | 'kind' | 'service' | 'model'>;

const nameOf = ({ code, kind, service, model }: Subject) =>
  [code ?? kind, service, model].join('\n');

/** Null for a request that did not fail. */
function subjectOf({ end, targets: [target], attempts }: EndedTrace): Subject | null {
  const last = attempts.at(-1);
  const { provider: service, label: model } =
    end.kind === 'refused' ? target : (last?.target ?? target);
  switch (end.kind) {
    case 'answered':
    case 'client_gone':
      return null;
    case 'refused':
      return end.code === 'client_gone' ? null : { code: end.code, kind: null, service, model };
    case 'at_fault':
    case 'broken_off':
    case 'internal_error': {
      const { kind } = last?.outcome ?? { kind: 'success' };
      return { code: null, kind: kind === 'success' ? 'internal_error' : kind, service, model };
    }
    default:
      return end satisfies never;
  }
}

class Group {
  readonly #subject: Subject;
  /** Of the last hour. */
  readonly #failed = new RecentCount(MINUTE_MS);
  /** When each last failed; the latest is the last. */
  readonly #clients = new Map<string, number>();
  /** The latest is the last. */
  readonly requests: KeptRequest[] = [];

  constructor(subject: Subject) {
    this.#subject = subject;
  }

  add(kept: KeptRequest): void {
    const { client, startedAt, ms } = kept.request;
    const at = startedAt + ms;
    this.#failed.add(at);
    const name = client ?? WEB.name;
    this.#clients.delete(name);
    this.#clients.set(name, at);
    const [first] = this.#clients.keys();
    if (this.#clients.size > MAX_CLIENTS && first !== undefined) this.#clients.delete(first);
    if (this.requests.push(kept) > MAX_REQUESTS) this.requests.shift();
  }

  isOver(now: number): boolean {
    return isOld(this.#failed.lastAt, now);
  }

  report(now: number): FailureGroup {
    const { code, kind } = this.#subject;
    const clients = [...this.#clients].filter(([, at]) => !isOld(at, now)).map(([name]) => name);
    return {
      ...this.#subject,
      sentence: code === null ? BROKEN[kind ?? 'internal_error'] : REFUSED[code],
      count: this.#failed.since(0, now),
      since: isoTime(this.#failed.firstAt(now)),
      last: isoTime(this.#failed.lastAt),
      clients: clients.reverse(),
      requestIds: this.requests
        .filter(({ request }) => !isOld(request.startedAt + request.ms, now))
        .map(({ request }) => request.requestId)
        .reverse(),
    };
  }
}

/** Whether it was before the last sixty minutes; the present minute is the last of them. */
const isOld = (at: number, now: number) =>
  Math.floor(at / MINUTE_MS) <= Math.floor(now / MINUTE_MS) - KEPT_MINUTES;

/** Why requests were refused, in one sentence for the operator. */
const REFUSED: Record<ServiceErrorCode, string> = {
  invalid_request: 'The provider found a fault in the request.',
  payload_too_large: 'The request has more tokens than any key allows.',
  rate_limited: 'The caller has reached its limit.',
  unauthorized: 'The session token is not valid.',
  model_unavailable: 'No key may use the model.',
  all_keys_exhausted: 'Every key was out of use.',
  no_keys_configured: 'The service has no keys.',
  upstream_failed: 'Every call failed: the provider, the network or the base URL is at fault.',
  upstream_timeout: 'The provider did not answer in time.',
  client_gone: 'The client left.',
};

/** Why a request failed that this server did not refuse, in one sentence for the operator. */
const BROKEN: Record<FailureKind, string> = {
  rate_limited: 'The answer broke off: a rate limit was reached.',
  quota_exhausted: "The answer broke off: the day's quota was spent.",
  quota_unexplained: 'The answer broke off: the provider refused with 429.',
  request_too_large: 'The request has more tokens than the quota of a minute allows.',
  out_of_credit: 'The answer broke off: the project has no credit left.',
  key_rejected: 'The answer broke off: the key was rejected.',
  model_unavailable: 'The answer broke off: the key may not use the model.',
  not_owned: 'The caller names something that belongs to another project.',
  request_fault: 'The provider found a fault in the request.',
  content_blocked: 'The provider blocked the content.',
  unusable_answer: 'The answer of the provider was empty or not finished.',
  upstream_down: 'The answer began, and the provider broke it off.',
  misconfigured: 'A base URL or a persona in the settings is wrong.',
  deadline_exceeded: 'The answer was not complete at the deadline.',
  client_gone: 'The answer was not read to its end.',
  superseded: 'Another attempt was faster.',
  internal_error: 'The server has a bug; its stack is in the log.',
};
